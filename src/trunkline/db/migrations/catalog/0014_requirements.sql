-- The Python packages of a version: the chunk of their lock, or empty, and the packages with their
-- exact versions, one a line.

ALTER TABLE pipeline_version ADD COLUMN lock TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_version ADD COLUMN packages TEXT NOT NULL DEFAULT '';

CREATE TRIGGER lock_leaves AFTER DELETE ON pipeline_version
WHEN old.lock <> '' AND EXISTS (SELECT 1 FROM collection)
BEGIN INSERT INTO removed_name (kind, names) VALUES (0, old.lock); END;
