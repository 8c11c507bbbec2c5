-- Jobs, their datums, leases and remembered results. Times are microseconds since 1970 (UTC).

CREATE TABLE job (
  number INTEGER PRIMARY KEY,           -- order of creation
  pipeline TEXT NOT NULL,
  id TEXT NOT NULL,                     -- id of the run, and of the output commit
  version BIGINT NOT NULL,              -- of the pipeline
  spec_commit TEXT NOT NULL,
  output_repo TEXT NOT NULL,
  output_branch TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  started BIGINT,
  finished BIGINT,
  restarts BIGINT NOT NULL DEFAULT 0,
  total BIGINT NOT NULL DEFAULT 0,
  skipped BIGINT NOT NULL DEFAULT 0,
  processed BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0,
  recovered BIGINT NOT NULL DEFAULT 0,
  downloaded_bytes BIGINT NOT NULL DEFAULT 0,
  uploaded_bytes BIGINT NOT NULL DEFAULT 0,
  download_us BIGINT NOT NULL DEFAULT 0,
  process_us BIGINT NOT NULL DEFAULT 0,
  upload_us BIGINT NOT NULL DEFAULT 0,
  leased BIGINT NOT NULL DEFAULT 0,     -- fresh datums below this position were handed out once
  datums_digest TEXT NOT NULL DEFAULT '',
  UNIQUE (pipeline, id)
);
CREATE INDEX job_by_run ON job (id);
CREATE INDEX job_by_pipeline ON job (pipeline, number);
CREATE INDEX job_by_state ON job (state, number);

-- The datums of a job in pieces of bounded size; each piece is a chunk in the store.
CREATE TABLE job_segment (
  job BIGINT NOT NULL,
  number BIGINT NOT NULL,
  chunk TEXT NOT NULL,
  first BIGINT NOT NULL,                -- position in the job of its first fresh datum
  fresh BIGINT NOT NULL,                -- how many of its datums have to be processed
  total BIGINT NOT NULL,
  PRIMARY KEY (job, number)
);

-- Fresh datums [first, until) of a job in the hands of one worker. The id is the fencing token.
CREATE TABLE lease (
  id INTEGER PRIMARY KEY,
  job BIGINT NOT NULL,
  first BIGINT NOT NULL,
  until BIGINT NOT NULL,
  worker TEXT NOT NULL,
  state TEXT NOT NULL                   -- active, or lost and to be handed out again
);
CREATE INDEX lease_by_job ON lease (job, state);

-- A row for each datum that a job processed; none for one that it skipped.
CREATE TABLE datum (
  number INTEGER PRIMARY KEY,           -- order of finishing
  job BIGINT NOT NULL,
  position BIGINT NOT NULL,             -- among the fresh datums of the job
  key TEXT NOT NULL,
  state TEXT NOT NULL,
  tries BIGINT NOT NULL,
  worker TEXT NOT NULL,
  started BIGINT NOT NULL,
  finished BIGINT NOT NULL,
  downloaded_bytes BIGINT NOT NULL,
  uploaded_bytes BIGINT NOT NULL,
  download_us BIGINT NOT NULL,
  process_us BIGINT NOT NULL,
  upload_us BIGINT NOT NULL,
  log TEXT NOT NULL,                    -- chunks of its log, joined by commas
  reason TEXT NOT NULL,
  UNIQUE (job, position)
);
CREATE INDEX datum_by_state ON datum (job, state, position);

-- What a datum made, remembered by its key for every later job.
CREATE TABLE result (
  key TEXT PRIMARY KEY NOT NULL,
  output TEXT NOT NULL,                 -- deltas that hold its files, joined by commas
  files BIGINT NOT NULL,
  size_bytes BIGINT NOT NULL,
  log TEXT NOT NULL,
  created BIGINT NOT NULL
);
