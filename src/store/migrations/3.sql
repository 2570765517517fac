CREATE TABLE clusters (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    endpoints TEXT NOT NULL, -- JSON: a list of URLs
    ca TEXT, -- JSON: certificates or a file of them
    tls_server_name TEXT,
    credential TEXT NOT NULL, -- JSON: files, or what is sealed with a key that is not in here
    service_accounts TEXT NOT NULL,
    access TEXT, -- JSON: users and groups; NULL is everybody
    created_at INTEGER NOT NULL
) STRICT;

-- An id is never given out twice: a token for a cluster that is gone must not be good for another one.
CREATE TABLE retired_cluster_ids (id TEXT PRIMARY KEY NOT NULL) STRICT;

-- The one cluster that a token is good for; NULL is every one.
ALTER TABLE tokens ADD COLUMN cluster TEXT;
CREATE INDEX tokens_of_a_cluster ON tokens (cluster, name) WHERE cluster IS NOT NULL;

ALTER TABLE audit_events ADD COLUMN cluster TEXT;
CREATE INDEX audit_events_by_cluster ON audit_events (cluster) WHERE cluster IS NOT NULL;
