-- What was deleted and can still be brought back, and changes that wait to be made at once.

-- One entry for each deletion. `kind` (repo, branch, commit, pipeline) and `name` are what brings
-- it back; `how` is the command that deleted it.
CREATE TABLE trash (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    how TEXT NOT NULL,
    deleted_us BIGINT NOT NULL
);
CREATE INDEX trash_by_name ON trash (kind, name, number);
CREATE INDEX trash_by_time ON trash (deleted_us);

-- Rows of tables that hold few rows per deletion: `place` says which table, `content` is JSON.
CREATE TABLE trash_row (
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    place TEXT NOT NULL,
    position BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (entry, place, position)
);
CREATE INDEX trash_row_by_place ON trash_row (place);

-- Rows of tables that may hold very many per deletion, column by column. `parent` of a commit that
-- was deleted by itself is the parent that it was made with, deleted or not.
CREATE TABLE trash_commit (
    number INTEGER PRIMARY KEY,
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    repo BIGINT NOT NULL,
    id TEXT NOT NULL,
    branch TEXT,
    origin TEXT NOT NULL,
    parent BIGINT,
    depth BIGINT NOT NULL,
    jump BIGINT,
    description TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    finished_us BIGINT,
    root TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    files BIGINT NOT NULL,
    error TEXT
);
CREATE INDEX trash_commit_by_entry ON trash_commit (entry, number);
CREATE INDEX trash_commit_by_id ON trash_commit (id, repo);
CREATE INDEX trash_commit_by_parent ON trash_commit (parent);

CREATE TABLE trash_provenance (
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    derived BIGINT NOT NULL,
    source BIGINT NOT NULL,
    branch TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (entry, derived, position)
);

CREATE TABLE trash_delta (
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    commit_number BIGINT NOT NULL,
    position BIGINT NOT NULL,
    delta TEXT NOT NULL,
    PRIMARY KEY (entry, commit_number, position)
);

-- The parent that a commit was made with, where that is deleted now and another stands in for it.
CREATE TABLE lost_parent (
    commit_number INTEGER PRIMARY KEY,
    parent BIGINT
);
CREATE INDEX lost_parent_by_parent ON lost_parent (parent);

CREATE TABLE trash_job (
    number INTEGER PRIMARY KEY,
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    pipeline TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    spec_commit TEXT NOT NULL,
    output_repo TEXT NOT NULL,
    output_branch TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    created BIGINT NOT NULL,
    started BIGINT,
    finished BIGINT,
    restarts BIGINT NOT NULL,
    total BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    processed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    recovered BIGINT NOT NULL,
    downloaded_bytes BIGINT NOT NULL,
    uploaded_bytes BIGINT NOT NULL,
    download_us BIGINT NOT NULL,
    process_us BIGINT NOT NULL,
    upload_us BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    datums_digest TEXT NOT NULL
);
CREATE INDEX trash_job_by_entry ON trash_job (entry, number);

CREATE TABLE trash_job_segment (
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    job BIGINT NOT NULL,
    number BIGINT NOT NULL,
    chunk TEXT NOT NULL,
    first BIGINT NOT NULL,
    fresh BIGINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (entry, job, number)
);

CREATE TABLE trash_datum (
    entry BIGINT NOT NULL REFERENCES trash (number) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    job BIGINT NOT NULL,
    position BIGINT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    worker TEXT NOT NULL,
    started BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    downloaded_bytes BIGINT NOT NULL,
    uploaded_bytes BIGINT NOT NULL,
    download_us BIGINT NOT NULL,
    process_us BIGINT NOT NULL,
    upload_us BIGINT NOT NULL,
    log TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (entry, number)
);
CREATE INDEX trash_datum_by_job ON trash_datum (entry, job, number);

-- Changes that are made together, later. `id` becomes the run of all that they make.
CREATE TABLE batch (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    started_us BIGINT NOT NULL
);

-- One step of a batch, in order: an operation, its arguments as JSON, and what was stored for it
-- already (ids of deltas, roots of file sets, joined by commas).
CREATE TABLE batch_step (
    batch BIGINT NOT NULL REFERENCES batch (number) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    operation TEXT NOT NULL,
    arguments TEXT NOT NULL,
    deltas TEXT NOT NULL,
    roots TEXT NOT NULL,
    PRIMARY KEY (batch, position)
);
