"""Connections, transactions, migrations and notifications. Knows no table.

The portable subset of SQL: named parameters as `:name`; `INTEGER PRIMARY KEY` for numbers that the
database gives out, `BIGINT`, `TEXT`, `BLOB`, `REAL`; `ON CONFLICT`, `RETURNING`, common table
expressions. Booleans are 0 and 1; times are microseconds since 1970 (UTC).
"""
