-- Batch and command jobs. spec: what az shows of one; fixed. request_id: repeated requests find the job they made.
-- pid, start_ticks: the coordinator; its lock on the job's folder says whether it runs.
CREATE TABLE jobs (
    name        TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    workspace   TEXT NOT NULL COLLATE NOCASE,
    endpoint    TEXT COLLATE NOCASE,
    deployment  TEXT COLLATE NOCASE,
    request_id  TEXT UNIQUE,
    spec        TEXT NOT NULL,
    state       TEXT NOT NULL,
    error       TEXT,
    created_at  REAL NOT NULL,
    created_by  TEXT NOT NULL,
    started_at  REAL,
    ended_at    REAL,
    archived    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_of_endpoint ON jobs (endpoint, created_at);
