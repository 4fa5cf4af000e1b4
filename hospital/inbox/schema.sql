-- inbox.db, schema 1.

CREATE TABLE boxes (
    box        TEXT PRIMARY KEY,
    verify     TEXT NOT NULL,                 -- Ed25519, raw, hexadecimal
    enrolled_at TEXT NOT NULL
) STRICT;

-- Every message that was counted.  Its number counts once.
CREATE TABLE messages (
    box        TEXT NOT NULL,
    stream     TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    body       BLOB NOT NULL,                 -- SHA-256 of the opened body
    envelope   BLOB NOT NULL,                 -- SHA-256 of the sealed bytes it first came in
    received_at TEXT NOT NULL,
    PRIMARY KEY (box, stream, seq)
) STRICT, WITHOUT ROWID;

-- Every case revision, once, whatever message it came in.
CREATE TABLE cases (
    box        TEXT NOT NULL,
    case_reference TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    priority   TEXT NOT NULL,
    hour       TEXT,
    brief      TEXT,                          -- JSON of summary.Brief; NULL when only its mark came
    received_at TEXT NOT NULL,
    PRIMARY KEY (box, case_reference, revision)
) STRICT;
CREATE INDEX cases_received ON cases (received_at);

-- The latest word of a box on itself, one for each stream it ever had.
CREATE TABLE presence (
    box        TEXT NOT NULL,
    stream     TEXT NOT NULL,
    session    INTEGER NOT NULL,
    beat       INTEGER NOT NULL,
    body       TEXT NOT NULL,                 -- JSON of summary.Presence
    received_at TEXT NOT NULL,
    PRIMARY KEY (box, stream)
) STRICT, WITHOUT ROWID;

-- What was not counted, with the reason; the oldest leave when it grows too long.
CREATE TABLE aside (
    id         INTEGER PRIMARY KEY,
    code       TEXT NOT NULL,
    details    TEXT NOT NULL,
    box        TEXT,                          -- as the topic has it, when it could be one
    kind       TEXT,
    sha256     BLOB NOT NULL,
    payload    BLOB NOT NULL,                 -- the first bytes, as they came
    times      INTEGER NOT NULL DEFAULT 1,
    first_at   TEXT NOT NULL,
    last_at    TEXT NOT NULL,
    UNIQUE (code, sha256)
) STRICT;
