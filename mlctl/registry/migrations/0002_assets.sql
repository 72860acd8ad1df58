-- Description, tags and stage of a registered version may change; NULL: they never did.
ALTER TABLE assets ADD COLUMN modified_at REAL;
ALTER TABLE assets ADD COLUMN modified_by TEXT;
