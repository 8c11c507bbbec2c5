"""Commands, tables and exit statuses: what a user types and reads.

Knows nothing of how an operation is carried out or where: it calls the operations of `api` on
whatever `connect` opened. Only the file of the noun in use is imported.
"""
