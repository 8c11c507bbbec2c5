-- What callers over TCP and in the console have changed, the newest of it.

-- `token` is the name of theirs, empty for the server's own and for this machine's user; `door` is
-- http or console; `outcome` is ok, the code of the error, or failed for one without.
CREATE TABLE audit (
    number BIGINT PRIMARY KEY NOT NULL,
    time_us BIGINT NOT NULL,
    token TEXT NOT NULL,
    door TEXT NOT NULL,
    operation TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL
);
