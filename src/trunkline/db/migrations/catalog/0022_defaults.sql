-- Defaults of specs, of a project or (project '') of all; and the spec of a version as its user
-- gave it, as JSON, or nothing where that is the spec itself.

CREATE TABLE pipeline_defaults (
    project TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    changed_us BIGINT NOT NULL
);

ALTER TABLE pipeline_version ADD COLUMN user_spec TEXT NOT NULL DEFAULT '';
