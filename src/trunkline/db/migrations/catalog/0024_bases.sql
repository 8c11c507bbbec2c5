-- Which plan the next job of a pipeline may go on from without asking for results.

-- The last good job of a pipeline, as long as none of its results may have been forgotten. Without
-- a row, as after this migration, the next job is planned from its input alone.
CREATE TABLE basis (
    pipeline TEXT PRIMARY KEY,
    job BIGINT NOT NULL
);
CREATE INDEX basis_by_job ON basis (job);
