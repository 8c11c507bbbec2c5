-- Which installation this is, so that backups of two are told from each other.

-- At most one row, written by the first backup; a restored copy has that of its original.
CREATE TABLE installation (id TEXT NOT NULL);
