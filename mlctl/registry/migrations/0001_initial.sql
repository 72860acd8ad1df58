-- Desired state is written by commands, observed state by the daemon; a generation tells them apart.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- accepted_* is what the gateway serves: a change that Envoy refuses is rolled back to it.
CREATE TABLE endpoints (
    name                 TEXT PRIMARY KEY COLLATE NOCASE,
    generation           INTEGER NOT NULL,
    observed_generation  INTEGER NOT NULL DEFAULT 0,
    spec                 TEXT NOT NULL,
    credentials          BLOB NOT NULL,
    accepted_spec        TEXT,
    accepted_credentials BLOB,
    state                TEXT NOT NULL,
    error                TEXT,
    workspace            TEXT NOT NULL,
    resource_group       TEXT NOT NULL,
    created_at           REAL NOT NULL,
    created_by           TEXT NOT NULL,
    modified_at          REAL NOT NULL,
    modified_by          TEXT NOT NULL
) STRICT;

-- serving_generation: the newest one that became ready. takes_all_traffic: once ready, it gets 100 percent.
CREATE TABLE deployments (
    endpoint            TEXT NOT NULL COLLATE NOCASE REFERENCES endpoints (name) ON DELETE CASCADE,
    name                TEXT NOT NULL COLLATE NOCASE,
    generation          INTEGER NOT NULL,
    observed_generation INTEGER NOT NULL DEFAULT 0,
    serving_generation  INTEGER,
    takes_all_traffic   INTEGER NOT NULL DEFAULT 0,
    state               TEXT NOT NULL,
    error               TEXT,
    failures            INTEGER NOT NULL DEFAULT 0,
    next_start_at       REAL NOT NULL DEFAULT 0,
    created_at          REAL NOT NULL,
    created_by          TEXT NOT NULL,
    modified_at         REAL NOT NULL,
    modified_by         TEXT NOT NULL,
    PRIMARY KEY (endpoint, name)
) STRICT;

-- What each generation asks for; plan: what it was resolved to (artifacts, interpreter), fixed for its lifetime.
CREATE TABLE deployment_generations (
    endpoint   TEXT NOT NULL COLLATE NOCASE,
    deployment TEXT NOT NULL COLLATE NOCASE,
    generation INTEGER NOT NULL,
    spec       TEXT NOT NULL,
    plan       TEXT NOT NULL,
    PRIMARY KEY (endpoint, deployment, generation),
    FOREIGN KEY (endpoint, deployment) REFERENCES deployments (endpoint, name) ON DELETE CASCADE
) STRICT;

-- A row is written before its process starts: a daemon that dies in between finds the process by its label.
CREATE TABLE replicas (
    id          TEXT PRIMARY KEY,
    endpoint    TEXT NOT NULL COLLATE NOCASE,
    deployment  TEXT NOT NULL COLLATE NOCASE,
    generation  INTEGER NOT NULL,
    socket      TEXT NOT NULL,
    pid         INTEGER,
    start_ticks INTEGER,
    state       TEXT NOT NULL,
    started_at  REAL NOT NULL,
    changed_at  REAL NOT NULL
) STRICT;
CREATE INDEX replicas_of_endpoint ON replicas (endpoint);

CREATE TABLE processes (
    name        TEXT PRIMARY KEY,
    pid         INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,
    state       TEXT NOT NULL,
    message     TEXT NOT NULL DEFAULT '',
    started_at  REAL NOT NULL
) STRICT;

CREATE TABLE assets (
    kind        TEXT NOT NULL,
    workspace   TEXT NOT NULL COLLATE NOCASE,
    name        TEXT NOT NULL,
    version     TEXT NOT NULL,
    spec        TEXT NOT NULL,
    artifact    TEXT,
    archived    INTEGER NOT NULL DEFAULT 0,
    created_at  REAL NOT NULL,
    created_by  TEXT NOT NULL,
    PRIMARY KEY (kind, workspace, name, version)
) STRICT;

CREATE TABLE artifacts (
    hash       TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    files      INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at REAL NOT NULL
) STRICT;

CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         REAL NOT NULL,
    endpoint   TEXT COLLATE NOCASE,
    deployment TEXT COLLATE NOCASE,
    kind       TEXT NOT NULL,
    message    TEXT NOT NULL,
    data       TEXT NOT NULL DEFAULT '{}',
    os_user    TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_endpoint ON events (endpoint, id);
