-- Pipelines and their versions.

-- What is true of a pipeline now. `version` is its newest one; `changed` orders lists (last changed
-- first).
CREATE TABLE pipeline (
    number INTEGER PRIMARY KEY,
    project TEXT NOT NULL DEFAULT 'default',
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    changed BIGINT NOT NULL,
    UNIQUE (project, name)
);

-- What a create or update said; never changed afterwards. `spec` is canonical JSON, `code` the root
-- of the file set at /code or empty, `nonce` what `salt` was made with.
CREATE TABLE pipeline_version (
    pipeline BIGINT NOT NULL REFERENCES pipeline (number) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    code TEXT NOT NULL,
    salt TEXT NOT NULL,
    nonce TEXT NOT NULL,
    spec_commit TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (pipeline, version)
);
