-- accounts.db: who may use the viewer.  No patient is named here, no password is readable here.

-- One row for each account.
CREATE TABLE users (
    name       TEXT PRIMARY KEY,              -- normalised (NFKC, case folded): two spellings are one account
    shown      TEXT NOT NULL,                 -- as it was typed
    role       TEXT NOT NULL CHECK (role IN ('doctor', 'technician', 'auditor')),
    password   TEXT,                          -- an argon2id hash; NULL until a one-time code was used
    language   TEXT,
    disabled   INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL
) STRICT;

-- One-time codes with which a password is chosen.
CREATE TABLE claims (
    code_hash  TEXT PRIMARY KEY,              -- of the one-time code
    user_name  TEXT REFERENCES users (name),  -- NULL: for the first account, whose name is chosen with the code
    expires    REAL NOT NULL
) STRICT;

-- Open sessions of browsers.
CREATE TABLE sessions (
    id_hash    TEXT PRIMARY KEY,              -- of the cookie: a copy of this file opens no session
    user_name  TEXT NOT NULL REFERENCES users (name),
    created    REAL NOT NULL,
    seen       REAL NOT NULL
) STRICT;

-- Failed log-ins within the last minutes.
CREATE TABLE attempts (
    at         REAL NOT NULL,
    name_hash  TEXT NOT NULL,                 -- of what was typed as a name: it may have been a password
    address    TEXT NOT NULL
) STRICT;
CREATE INDEX attempts_at ON attempts (at);

-- Random keys of the viewer.
CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    value      BLOB NOT NULL
) STRICT;
