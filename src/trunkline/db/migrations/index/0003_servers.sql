-- What several servers of one store tell each other; empty where one directory has the index.

-- Who is there. A server that does not beat is taken away by others, and then can change nothing.
CREATE TABLE server (
    id TEXT PRIMARY KEY NOT NULL,
    beat BIGINT NOT NULL,
    leads BIGINT NOT NULL,
    address TEXT NOT NULL
);
CREATE TABLE epoch (number BIGINT PRIMARY KEY NOT NULL);
-- Since which epochs a server may have been at work.
CREATE TABLE hold (
    server TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (server, epoch)
);
-- What one of them does at a time.
CREATE TABLE turn (
    name TEXT PRIMARY KEY NOT NULL,
    server TEXT NOT NULL
);
-- Secrets, the token and the like: beside the catalog, as that goes into backups.
CREATE TABLE kept (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
