-- decided_until: what was due up to this moment was started, or left out, for good. Epoch seconds.
ALTER TABLE schedules ADD COLUMN decided_until REAL NOT NULL DEFAULT 0;
UPDATE schedules SET decided_until = modified_at;

-- What became of each instant. job: named after schedule and instant, so that none is started twice. due_at: the
-- instant. state: starting, started, failed (to start), skipped. is_triggered: by hand.
CREATE TABLE schedule_runs (
    workspace    TEXT NOT NULL COLLATE NOCASE,
    schedule     TEXT NOT NULL COLLATE NOCASE,
    job          TEXT NOT NULL,
    due_at       INTEGER NOT NULL,
    is_triggered INTEGER NOT NULL,
    state        TEXT NOT NULL,
    message      TEXT NOT NULL DEFAULT '',
    decided_at   REAL NOT NULL,
    PRIMARY KEY (workspace, schedule, job),
    FOREIGN KEY (workspace, schedule) REFERENCES schedules (workspace, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX schedule_runs_by_time ON schedule_runs (workspace, schedule, due_at);
