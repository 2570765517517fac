CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT UNIQUE NOT NULL,
    groups TEXT NOT NULL, -- a JSON array of names
    admin INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- here and below: milliseconds, of the Unix epoch or of a duration
    password TEXT
) STRICT;

-- An id is the user's UID in clusters: it must never come to mean somebody else.
CREATE TABLE retired_user_ids (
    id TEXT PRIMARY KEY NOT NULL
) STRICT;

CREATE TABLE tokens (
    name TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE INDEX tokens_of_a_user ON tokens (user_id);
