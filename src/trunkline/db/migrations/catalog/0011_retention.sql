-- Rules that say which commits of a branch stay. A rule that was not given is 0.

CREATE TABLE branch_retention (
    branch INTEGER PRIMARY KEY REFERENCES branch (number) ON DELETE CASCADE,
    last BIGINT NOT NULL,
    within_s REAL NOT NULL,
    hourly BIGINT NOT NULL,
    daily BIGINT NOT NULL,
    weekly BIGINT NOT NULL,
    monthly BIGINT NOT NULL,
    yearly BIGINT NOT NULL,
    tagged BIGINT NOT NULL,
    derived BIGINT NOT NULL,
    created_us BIGINT NOT NULL
);
