-- Projects, which hold repos and pipelines. The `name` of a repo or pipeline is its full name from
-- here on: as it was in the project 'default', and 'project/name' in every other, which the column
-- `project` has by itself too. All that older versions wrote is in 'default'.
CREATE TABLE project (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created_us BIGINT,
    changed BIGINT NOT NULL
);
INSERT INTO project (number, name, description, created_us, changed)
VALUES (0, 'default', '', NULL, 0);
