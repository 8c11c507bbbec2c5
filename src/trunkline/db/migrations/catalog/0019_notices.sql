-- What somebody outside is told of: the ends of jobs.

-- Which ends are wanted, as the settings of the server say; nothing where nobody is to be told.
CREATE TABLE notice_wanted (
    state TEXT PRIMARY KEY
);

-- Ends of jobs that were not told yet. `due_us` is when it is tried next.
CREATE TABLE notice (
    job INTEGER PRIMARY KEY,
    tries BIGINT NOT NULL,
    due_us BIGINT NOT NULL
);
CREATE INDEX notice_by_due ON notice (due_us);
