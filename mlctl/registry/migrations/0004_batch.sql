-- Batch endpoints and deployments: nothing runs for them until they are invoked, so there is no state to reconcile.
-- plan: what a deployment's spec was resolved to (artifacts, interpreter, or a component's steps).
CREATE TABLE batch_endpoints (
    name           TEXT PRIMARY KEY COLLATE NOCASE,
    spec           TEXT NOT NULL,
    workspace      TEXT NOT NULL,
    resource_group TEXT NOT NULL,
    created_at     REAL NOT NULL,
    created_by     TEXT NOT NULL,
    modified_at    REAL NOT NULL,
    modified_by    TEXT NOT NULL
) STRICT;

CREATE TABLE batch_deployments (
    endpoint    TEXT NOT NULL COLLATE NOCASE REFERENCES batch_endpoints (name) ON DELETE CASCADE,
    name        TEXT NOT NULL COLLATE NOCASE,
    spec        TEXT NOT NULL,
    plan        TEXT NOT NULL,
    created_at  REAL NOT NULL,
    created_by  TEXT NOT NULL,
    modified_at REAL NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (endpoint, name)
) STRICT;

CREATE TABLE computes (
    workspace   TEXT NOT NULL COLLATE NOCASE,
    name        TEXT NOT NULL COLLATE NOCASE,
    spec        TEXT NOT NULL,
    created_at  REAL NOT NULL,
    created_by  TEXT NOT NULL,
    modified_at REAL NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT;

-- folder: what relative paths of the spec start from.
CREATE TABLE schedules (
    workspace   TEXT NOT NULL COLLATE NOCASE,
    name        TEXT NOT NULL COLLATE NOCASE,
    spec        TEXT NOT NULL,
    folder      TEXT NOT NULL,
    is_enabled  INTEGER NOT NULL DEFAULT 1,
    created_at  REAL NOT NULL,
    created_by  TEXT NOT NULL,
    modified_at REAL NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT;
