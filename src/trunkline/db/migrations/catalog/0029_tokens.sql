-- Named tokens, by which servers know callers over TCP.

-- `digest` is the SHA-256 of the secret, in hexadecimal; the secret itself is nowhere. `used_us` is
-- written at most once in a while, not with each use.
CREATE TABLE token (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT,
    used_us BIGINT
);
