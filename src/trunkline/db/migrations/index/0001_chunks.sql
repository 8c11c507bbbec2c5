-- Where each chunk is. A cache: everything here can be read from the packs again.
CREATE TABLE pack (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sealed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE chunk (
    digest BLOB PRIMARY KEY NOT NULL,
    pack BIGINT NOT NULL,
    start_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL
) WITHOUT ROWID;
