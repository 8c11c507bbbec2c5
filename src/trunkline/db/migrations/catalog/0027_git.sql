-- Branches of git repositories elsewhere as inputs of pipelines.

-- What a git input follows. `commit_id` is the commit of the remote whose tree is the newest commit
-- of `repo` (a full name), empty before the first one. `owned` says that the repo was made for it
-- and goes with the pipeline.
CREATE TABLE pipeline_git (
    pipeline BIGINT NOT NULL REFERENCES pipeline (number) ON DELETE CASCADE,
    repo TEXT NOT NULL,
    url TEXT NOT NULL,
    branch TEXT NOT NULL,
    secret TEXT NOT NULL,
    secret_key TEXT NOT NULL,
    owned BIGINT NOT NULL,
    commit_id TEXT NOT NULL,
    PRIMARY KEY (pipeline, repo)
);
CREATE INDEX pipeline_git_by_repo ON pipeline_git (repo);
