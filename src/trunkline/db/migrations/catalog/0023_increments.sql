-- What the datums of incremental pipelines can go on from.

-- The newest result for the paths of a datum: its key, and the datum of a job that it came from.
-- `place` is a digest of the pipeline, its salt and the paths. A row may outlive its result or job:
-- then there is nothing to go on from.
CREATE TABLE increment (
    place TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    job BIGINT NOT NULL,
    position BIGINT NOT NULL
);
CREATE INDEX increment_by_key ON increment (key);
