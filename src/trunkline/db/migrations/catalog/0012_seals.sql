-- Checksums: `seal` is that of what a commit is (versions/tables/seals.py), compared whenever it is
-- read; `schema_seal` has that of the schema.
-- Rewrites: commit_record, trash_commit

ALTER TABLE commit_record ADD COLUMN seal BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trash_commit ADD COLUMN seal BIGINT NOT NULL DEFAULT 0;

UPDATE commit_record SET seal = row_seal(4, number, root, size_bytes, files, id, branch, origin,
    description, started_us, finished_us, error);
UPDATE trash_commit SET seal = row_seal(4, number, root, size_bytes, files, id, branch, origin,
    description, started_us, finished_us, error);

CREATE TABLE schema_seal (
    seal BIGINT NOT NULL
);
