-- Which chunks nothing refers to, and since when; how many records of a pack were given up.

-- A chunk that was found to be unneeded carries the epoch of that moment. It is read as before, but
-- whoever wants to rely on it takes the mark away first.
ALTER TABLE chunk ADD COLUMN condemned BIGINT;
CREATE INDEX chunk_by_condemnation ON chunk (condemned) WHERE condemned IS NOT NULL;

-- Records of the pack that are in no list any more: so many may be missing from `chunk`.
ALTER TABLE pack ADD COLUMN dead BIGINT NOT NULL DEFAULT 0;

-- When the chunks of an epoch were condemned, in microseconds since 1970 (UTC).
CREATE TABLE condemnation (
    epoch BIGINT PRIMARY KEY NOT NULL,
    condemned_us BIGINT NOT NULL
);
