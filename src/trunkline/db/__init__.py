"""Connections, transactions, migrations and notifications. Knows no table.

The portable subset of SQL, which SQLite and PostgreSQL read alike: named parameters as `:name`;
`INTEGER PRIMARY KEY` for numbers that the database gives out, `BIGINT`, `TEXT`, `BLOB`, `REAL`;
`ON CONFLICT`, `RETURNING`, common table expressions that name themselves once. Booleans are 0 and 1
(`CASE WHEN` in what is computed with others); times are microseconds since 1970 (UTC). What orders
rows is in their columns, never NULL. Migrations are written as SQLite reads them, and translated.
"""
