-- Commits are on lines instead of having a depth, so that removing an old one changes no row above.
-- Rewrites: commit_record, trash_commit

-- A line is a chain of commits, by number: each one's parent is the one before it on the line, and
-- the first one's parent is on another line, or none. Docs: decisions/0014-lines-of-commits.md.
ALTER TABLE commit_record ADD COLUMN line BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trash_commit ADD COLUMN line BIGINT NOT NULL DEFAULT 0;

-- The first commit that was made on top of another goes on with its line; the others begin one.
CREATE TABLE line_of_commit (
    number INTEGER PRIMARY KEY,
    line BIGINT NOT NULL
);
INSERT INTO line_of_commit (number, line)
WITH RECURSIVE walk(number, line) AS (
    SELECT c.number, c.number FROM commit_record c WHERE c.parent IS NULL
        OR c.number <> (SELECT MIN(s.number) FROM commit_record s WHERE s.parent = c.parent)
    UNION ALL
    SELECT n.number, walk.line FROM walk JOIN commit_record n
        ON n.number = (SELECT MIN(s.number) FROM commit_record s WHERE s.parent = walk.number)
)
SELECT number, line FROM walk;
UPDATE commit_record SET line =
    (SELECT l.line FROM line_of_commit l WHERE l.number = commit_record.number);
DELETE FROM line_of_commit;

-- In the trash this counts for whole repos only, whose commits are all in one entry.
INSERT INTO line_of_commit (number, line)
WITH RECURSIVE first(entry, parent, number) AS (
    SELECT entry, parent, MIN(number) FROM trash_commit WHERE parent IS NOT NULL
    GROUP BY entry, parent
), walk(number, line) AS (
    SELECT c.number, c.number FROM trash_commit c WHERE c.parent IS NULL
        OR c.number NOT IN (SELECT number FROM first)
        OR NOT EXISTS
            (SELECT 1 FROM trash_commit p WHERE p.number = c.parent AND p.entry = c.entry)
    UNION ALL
    SELECT n.number, walk.line FROM walk JOIN trash_commit o ON o.number = walk.number
        JOIN trash_commit n ON n.number = (SELECT MIN(s.number) FROM trash_commit s
            WHERE s.parent = walk.number AND s.entry = o.entry)
)
SELECT number, line FROM walk;
UPDATE trash_commit SET line =
    (SELECT l.line FROM line_of_commit l WHERE l.number = trash_commit.number);
DROP TABLE line_of_commit;

DROP INDEX commit_record_by_jump;
ALTER TABLE commit_record DROP COLUMN jump;
ALTER TABLE commit_record DROP COLUMN depth;
ALTER TABLE trash_commit DROP COLUMN jump;
ALTER TABLE trash_commit DROP COLUMN depth;
CREATE INDEX commit_record_by_line ON commit_record (line, number);
