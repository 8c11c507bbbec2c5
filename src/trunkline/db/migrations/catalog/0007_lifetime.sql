-- What garbage collection has to remember. Times are microseconds since 1970 (UTC).

-- Trees without a commit, kept for a while: what an upload made for whoever will use it.
CREATE TABLE file_set (
    root TEXT PRIMARY KEY NOT NULL,
    created_us BIGINT NOT NULL
);

-- Which job made a result; a result that no job needs goes with it (0: before this was recorded).
ALTER TABLE result ADD COLUMN job BIGINT NOT NULL DEFAULT 0;

-- While chunks are condemned there is a row here, and then the triggers below write down every name
-- that leaves the catalog, but for what is in the trash, which came there from a table
-- that is watched. Kinds as in files/reach.py: 0 chunks (joined by commas), 1 tree,
-- 2 deltas (joined by commas).
CREATE TABLE collection (
    started_us BIGINT NOT NULL
);
CREATE TABLE removed_name (
    number INTEGER PRIMARY KEY,
    kind BIGINT NOT NULL,
    names TEXT NOT NULL
);

CREATE TRIGGER commit_leaves AFTER DELETE ON commit_record
WHEN old.root <> '' AND EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (1, old.root); END;

CREATE TRIGGER root_changes AFTER UPDATE OF root ON commit_record
WHEN old.root <> '' AND old.root <> new.root AND EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (1, old.root); END;

CREATE TRIGGER delta_leaves AFTER DELETE ON commit_delta
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (2, old.delta); END;

CREATE TRIGGER code_leaves AFTER DELETE ON pipeline_version
WHEN old.code <> '' AND EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (1, old.code); END;

CREATE TRIGGER segment_leaves AFTER DELETE ON job_segment
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (0, old.chunk); END;

CREATE TRIGGER log_leaves AFTER DELETE ON datum
WHEN old.log <> '' AND EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (0, old.log); END;

CREATE TRIGGER log_changes AFTER UPDATE OF log ON datum
WHEN old.log <> '' AND old.log <> new.log AND EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (0, old.log); END;

CREATE TRIGGER result_leaves AFTER DELETE ON result
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) SELECT 2, old.output WHERE old.output <> ''
 UNION ALL SELECT 0, old.log WHERE old.log <> ''; END;

CREATE TRIGGER result_changes AFTER UPDATE ON result
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) SELECT 2, old.output WHERE old.output <> ''
 UNION ALL SELECT 0, old.log WHERE old.log <> ''; END;

CREATE TRIGGER file_set_leaves AFTER DELETE ON file_set
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (1, old.root); END;

CREATE TRIGGER step_leaves AFTER DELETE ON batch_step
WHEN EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) SELECT 2, old.deltas WHERE old.deltas <> ''
 UNION ALL SELECT 1, old.roots WHERE old.roots <> ''; END;
