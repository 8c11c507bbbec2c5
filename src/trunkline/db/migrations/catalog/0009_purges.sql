-- Files that were erased from the whole history, and what is left to say about them. Times are
-- microseconds since 1970 (UTC).

-- One row for each purge, written before anything is done. `phase` is what is to be done next:
-- rewriting, erasing, cleaning, done. `request` and `report` are JSON. `salt` is that of the names
-- in tombstones where paths are not kept, '' where they are.
CREATE TABLE purge (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    phase TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    finished_us BIGINT,
    reason TEXT NOT NULL,
    request TEXT NOT NULL,
    salt TEXT NOT NULL,
    report TEXT NOT NULL
);

-- The chunks that have to go, while a purge is under way: none once it is done. `content` is 1 for
-- those of the erased files, 0 for what named them.
CREATE TABLE purge_content (
    purge BIGINT NOT NULL REFERENCES purge (number) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    content BIGINT NOT NULL,
    PRIMARY KEY (purge, digest)
);

-- What a purge took from a commit (deleted ones too): `names` is the root of a tree of empty files,
-- named like those that are gone, or by digests of their names.
CREATE TABLE tombstone (
    commit_number BIGINT NOT NULL,
    purge BIGINT NOT NULL REFERENCES purge (number) ON DELETE CASCADE,
    names TEXT NOT NULL,
    files BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    PRIMARY KEY (commit_number, purge)
);
CREATE INDEX tombstone_by_purge ON tombstone (purge);

CREATE TRIGGER tombstone_leaves AFTER DELETE ON tombstone
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (1, old.names); END;

-- For steps of transactions that are rewritten in place.
CREATE TRIGGER step_changes AFTER UPDATE OF deltas ON batch_step
WHEN EXISTS (SELECT 1 FROM collection) AND old.deltas <> '' AND old.deltas <> new.deltas
BEGIN INSERT INTO removed_name (kind, names) VALUES (2, old.deltas); END;
