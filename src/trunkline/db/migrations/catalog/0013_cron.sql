-- Clocks as inputs of pipelines, and sources whose commits start nothing.

-- How far the schedule of a cron input was followed: its ticks up to `evaluated_us` are commits of
-- `repo` (a full name), or were due before `start_us`. `next_us` is when the next one is due, NULL
-- for `@never`. `owned` says that the repo was made for it and goes with the pipeline.
CREATE TABLE pipeline_cron (
    pipeline BIGINT NOT NULL REFERENCES pipeline (number) ON DELETE CASCADE,
    repo TEXT NOT NULL,
    schedule TEXT NOT NULL,
    overwrite BIGINT NOT NULL,
    owned BIGINT NOT NULL,
    start_us BIGINT NOT NULL,
    evaluated_us BIGINT NOT NULL,
    next_us BIGINT,
    PRIMARY KEY (pipeline, repo)
);
CREATE INDEX pipeline_cron_by_next ON pipeline_cron (next_us);

-- Of a source that is `quiet`, a commit opens none on the derived branch, whose next commit is made
-- from what the source's head is then.
ALTER TABLE branch_provenance ADD COLUMN quiet BIGINT NOT NULL DEFAULT 0;
UPDATE trash_row SET content = SUBSTR(content, 1, LENGTH(content) - 1) || ', 0]'
WHERE place = 'branch_provenance';
