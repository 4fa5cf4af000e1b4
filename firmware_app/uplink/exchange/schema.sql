-- exchange.db: all that clinic and outside share.  No pixel, no name, no UID has a column here.

-- The line to the hospital: one row, born with the file.
CREATE TABLE line (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    stream     TEXT NOT NULL,                 -- random; a new file is a new stream
    session    INTEGER NOT NULL DEFAULT 0,    -- connections so far
    code       TEXT,                          -- how the line is, as a sentence's code
    details    TEXT NOT NULL DEFAULT '{}',
    since      TEXT,
    unread     INTEGER,                       -- told by the reader's side
    audit_head TEXT,
    health     TEXT NOT NULL DEFAULT '{"faults":[],"packs":[]}'   -- JSON of BoxHealth, told by the reader's side
) STRICT;

-- What is still to be sent, or was set aside with the reason.
CREATE TABLE outgoing (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, also after rows have left
    urgent     INTEGER NOT NULL CHECK (urgent IN (0, 1)),
    boot       TEXT NOT NULL,
    form       TEXT NOT NULL CHECK (form IN ('brief', 'marks')),   -- 'brief'; the version before wrote marks of several
    body       TEXT NOT NULL,                 -- JSON of summary.Brief
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'quarantined')),
    code       TEXT,                          -- why it is quarantined
    details    TEXT
) STRICT;
CREATE INDEX outgoing_next ON outgoing (urgent DESC, seq) WHERE state = 'waiting';

-- Raw signed bytes of the hospital as the broker handed them over; the reader's side verifies and acts.
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
