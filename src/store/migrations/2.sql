-- A hash of the token's key, which begins with $; or the key itself while `token-hashing` is off.
ALTER TABLE tokens RENAME COLUMN hash TO stored_key;

ALTER TABLE tokens ADD COLUMN last_used_at INTEGER;
ALTER TABLE tokens ADD COLUMN last_used_address TEXT;
ALTER TABLE tokens ADD COLUMN last_used_user_agent TEXT;
ALTER TABLE tokens ADD COLUMN lease_until INTEGER;
ALTER TABLE tokens ADD COLUMN replaced_by TEXT;

-- NULL for a token that never expires. A sum past the last integer stays at it instead of becoming a float.
ALTER TABLE tokens ADD COLUMN expires_at INTEGER GENERATED ALWAYS AS (
    CASE
        WHEN ttl = 0 THEN NULL
        WHEN ttl > 9223372036854775807 - created_at THEN 9223372036854775807
        ELSE created_at + ttl
    END
) VIRTUAL;

-- What lists are sorted by: a page begins after a value, and nothing is after NULL.
ALTER TABLE tokens ADD COLUMN expiry_order INTEGER GENERATED ALWAYS AS (coalesce(expires_at, 9223372036854775807)) VIRTUAL;
ALTER TABLE tokens ADD COLUMN last_used_order INTEGER GENERATED ALWAYS AS (coalesce(last_used_at, 0)) VIRTUAL;

DROP INDEX tokens_of_a_user;
CREATE INDEX tokens_of_a_user_by_name ON tokens (user_id, name);
CREATE INDEX tokens_of_a_user_by_creation ON tokens (user_id, created_at, name);
CREATE INDEX tokens_of_a_user_by_expiry ON tokens (user_id, expiry_order, name);
CREATE INDEX tokens_of_a_user_by_last_use ON tokens (user_id, last_used_order, name);
CREATE INDEX tokens_by_creation ON tokens (created_at, name);
CREATE INDEX tokens_by_expiry ON tokens (expiry_order, name);
CREATE INDEX tokens_by_last_use ON tokens (last_used_order, name);
CREATE INDEX tokens_that_never_expire ON tokens (kind) WHERE ttl = 0;
CREATE INDEX tokens_switched_off ON tokens (name) WHERE enabled = 0;
CREATE INDEX tokens_with_a_lease ON tokens (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE features (
    name TEXT PRIMARY KEY NOT NULL,
    enabled INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    scrubbed INTEGER NOT NULL, -- whether what the change made obsolete is gone from the files, too
    backup TEXT -- the copy that was made before the change
) STRICT;

-- All that was written before this migration is hashed.
INSERT INTO features (name, enabled, changed_at, scrubbed) VALUES ('token-hashing', 1, unixepoch() * 1000, 1);

CREATE TABLE audit_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- an id is never used again, so that a gap shows
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT,
    token TEXT,
    user TEXT,
    client TEXT,
    outcome TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;

CREATE INDEX audit_events_by_time ON audit_events (at);
CREATE INDEX audit_events_by_action ON audit_events (action);
CREATE INDEX audit_events_by_actor ON audit_events (actor);
CREATE INDEX audit_events_by_user ON audit_events (user);
CREATE INDEX audit_events_by_token ON audit_events (token);
