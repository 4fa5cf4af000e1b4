-- exchange.db, schema 1: all that clinic and outside share.  No pixel, no name, no UID has a column here.

-- One row, born with the file.
CREATE TABLE line (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    stream     TEXT NOT NULL,                 -- random; a new file is a new stream
    session    INTEGER NOT NULL DEFAULT 0,    -- connections so far
    code       TEXT,                          -- how the line is, as a sentence's code
    details    TEXT NOT NULL DEFAULT '{}',
    since      TEXT,
    unread     INTEGER,                       -- told by the reader's side
    audit_head TEXT
) STRICT;

CREATE TABLE outgoing (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, also after rows have left
    urgent     INTEGER NOT NULL CHECK (urgent IN (0, 1)),
    boot       TEXT NOT NULL,
    form       TEXT NOT NULL CHECK (form IN ('brief', 'marks')),
    body       TEXT NOT NULL,                 -- JSON of summary.Brief, or of a list of summary.Mark
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'quarantined')),
    code       TEXT,                          -- why it is quarantined
    details    TEXT
) STRICT;
CREATE INDEX outgoing_next ON outgoing (urgent DESC, seq) WHERE state = 'waiting';

-- Which case revisions a row of outgoing carries: one of them is never taken in twice.
CREATE TABLE carries (
    case_reference TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    seq        INTEGER NOT NULL REFERENCES outgoing (seq) ON DELETE CASCADE,
    PRIMARY KEY (case_reference, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX carries_seq ON carries (seq);

-- Raw signed bytes as the broker handed them over; the reader's side verifies and acts.
CREATE TABLE incoming (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL CHECK (kind IN ('ack', 'keys', 'command')),
    body       BLOB NOT NULL
) STRICT;

-- The newest verified keys message of the hospital, as it was signed.
CREATE TABLE hospital_keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    hospital   TEXT NOT NULL,                 -- whose: its Ed25519 key; another hospital counts from 1 again
    serial     INTEGER NOT NULL,
    signed     BLOB NOT NULL
) STRICT;
