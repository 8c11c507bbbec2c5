-- Repos, branches, commits, and what was made from what. Times are microseconds since 1970 (UTC).
-- Numbers come from `change_number`, which only grows: a higher number is a later change.

CREATE TABLE change_number (
    value BIGINT NOT NULL
);
INSERT INTO change_number (value) VALUES (0);

CREATE TABLE repo (
    number INTEGER PRIMARY KEY,
    project TEXT NOT NULL DEFAULT 'default',
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    system BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (project, name)
);
CREATE INDEX repo_by_change ON repo (changed);

-- A run is there as long as it has a commit.
CREATE TABLE run (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created_us BIGINT NOT NULL
);

-- `depth` is the number of ancestors. `jump` is some ancestor (the parent, or one much further up)
-- so chosen that any ancestor is reached in a number of steps logarithmic in the depth.
CREATE TABLE commit_record (
    number INTEGER PRIMARY KEY,
    repo BIGINT NOT NULL REFERENCES repo (number),
    id TEXT NOT NULL,
    branch TEXT,
    origin TEXT NOT NULL,
    parent BIGINT REFERENCES commit_record (number),
    depth BIGINT NOT NULL,
    jump BIGINT REFERENCES commit_record (number),
    description TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    finished_us BIGINT,
    root TEXT NOT NULL DEFAULT '',
    size_bytes BIGINT NOT NULL DEFAULT 0,
    files BIGINT NOT NULL DEFAULT 0,
    error TEXT,
    UNIQUE (id, repo)
);
CREATE INDEX commit_record_by_repo ON commit_record (repo, number);
CREATE INDEX commit_record_by_parent ON commit_record (parent);
CREATE INDEX commit_record_by_jump ON commit_record (jump);

-- Direct provenance of commits: `derived` was made from `source`, then the head of `branch`.
CREATE TABLE commit_provenance (
    derived BIGINT NOT NULL REFERENCES commit_record (number),
    source BIGINT NOT NULL REFERENCES commit_record (number),
    branch TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (derived, position)
);
CREATE INDEX commit_provenance_by_source ON commit_provenance (source, derived);

-- Changes to the files of an open commit, in order; none once it is finished.
CREATE TABLE commit_delta (
    commit_number BIGINT NOT NULL REFERENCES commit_record (number),
    position BIGINT NOT NULL,
    delta TEXT NOT NULL,
    PRIMARY KEY (commit_number, position)
);

CREATE TABLE branch (
    number INTEGER PRIMARY KEY,
    repo BIGINT NOT NULL REFERENCES repo (number),
    name TEXT NOT NULL,
    head BIGINT REFERENCES commit_record (number),
    created_us BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (repo, name)
);
CREATE INDEX branch_by_head ON branch (head);

-- Direct provenance of branches: commits on `derived` are made from the head of `source`.
CREATE TABLE branch_provenance (
    derived BIGINT NOT NULL REFERENCES branch (number),
    source BIGINT NOT NULL REFERENCES branch (number),
    position BIGINT NOT NULL,
    PRIMARY KEY (derived, source)
);
CREATE INDEX branch_provenance_by_source ON branch_provenance (source, derived);
