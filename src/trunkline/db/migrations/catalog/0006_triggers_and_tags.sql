-- Triggers of branches, and tags.

-- The head of `branch` follows that of `source` (a branch of the same repo) when the conditions are
-- met. `size` and `cron` are as written; a condition that was not given is '' or 0. With `all_of`
-- every condition has to be met, otherwise one is enough. `tick_due` says that the schedule has had
-- a tick which has not moved the branch yet.
CREATE TABLE branch_trigger (
    branch INTEGER PRIMARY KEY REFERENCES branch (number) ON DELETE CASCADE,
    source BIGINT NOT NULL REFERENCES branch (number) ON DELETE CASCADE,
    size TEXT NOT NULL,
    commits BIGINT NOT NULL,
    cron TEXT NOT NULL,
    all_of BIGINT NOT NULL,
    evaluated_us BIGINT,
    next_us BIGINT,
    tick_due BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX branch_trigger_by_source ON branch_trigger (source);
CREATE INDEX branch_trigger_by_next ON branch_trigger (next_us);

-- Names of commits that stay. A commit that has one is not deleted.
CREATE TABLE tag (
    number INTEGER PRIMARY KEY,
    repo BIGINT NOT NULL REFERENCES repo (number) ON DELETE CASCADE,
    name TEXT NOT NULL,
    commit_number BIGINT NOT NULL REFERENCES commit_record (number),
    created_us BIGINT NOT NULL,
    UNIQUE (repo, name)
);
CREATE INDEX tag_by_commit ON tag (commit_number);
