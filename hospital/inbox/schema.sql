-- inbox.db: the whole schema.  Every message and every case revision counts once.

---- Boxes -----------------------------------------------------------------------------------------------------------

-- The enrolled boxes.
CREATE TABLE boxes (
    box        TEXT PRIMARY KEY,
    verify     TEXT NOT NULL,                 -- Ed25519, raw, hexadecimal
    enrolled_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT;

-- One row for each box that was ever heard.
CREATE TABLE heard (
    box        TEXT PRIMARY KEY,
    at         TEXT NOT NULL,                 -- its last new message, whatever its kind
    said_at    TEXT,                          -- its last new word on itself,
    stream     TEXT,                          -- and the stream whose row in `presence` has it
    gone       INTEGER NOT NULL,              -- 1 when that word was a goodbye and nothing came after it
    older_at   TEXT                           -- when it last said something older than that word
) STRICT, WITHOUT ROWID;

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

-- The latest report of a box on each subject; of a report that is kept by weeks the last one of each week.
CREATE TABLE latest (
    box        TEXT NOT NULL,
    kind       TEXT NOT NULL,                 -- Report.name
    subject    TEXT NOT NULL,                 -- Report.subject: '' or pack and machine
    week       TEXT NOT NULL,                 -- ISO 8601, of its arrival; '' where weeks are not kept
    stream     TEXT NOT NULL,
    session    INTEGER NOT NULL,
    beat       INTEGER NOT NULL,
    body       TEXT NOT NULL,                 -- JSON of the report
    received_at TEXT NOT NULL,
    PRIMARY KEY (box, kind, subject, week)
) STRICT;

---- Cases -----------------------------------------------------------------------------------------------------------

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
CREATE INDEX cases_urgent ON cases (box, received_at) WHERE priority = 'urgent';
CREATE INDEX cases_of_box ON cases (box, received_at);

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
CREATE INDEX aside_of_box ON aside (box, id);
CREATE INDEX aside_last ON aside (last_at);

---- Enrolment over the line -----------------------------------------------------------------------------------------

-- The labels that were printed.  A label's code is derived (prepare.code_of) and stands nowhere.  It enrols one box, once.
CREATE TABLE label_codes (
    box        TEXT PRIMARY KEY,
    expires    INTEGER NOT NULL,              -- Unix seconds of the hospital's clock, as its file says
    used_at    TEXT,
    request    TEXT,                          -- SHA-256 of the request that was answered
    answer     BLOB,                          -- enrolment.EnrolAnswer
    token      TEXT                           -- under which it is due; NULL: sent, until the box asks again
) STRICT;

-- The last request of each box that was made with the code of its label and not answered yet.
CREATE TABLE enrol_requests (
    box        TEXT PRIMARY KEY,
    token      TEXT NOT NULL,
    body       BLOB NOT NULL,                 -- enrolment.EnrolRequest
    received_at TEXT NOT NULL
) STRICT;

-- Who did what.  Nothing is deleted; a typed code counts as wrong until it turns out to be that of a label.
CREATE TABLE enrol_audit (
    id         INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    actor      TEXT NOT NULL,                 -- line, page, console
    action     TEXT NOT NULL,
    box        TEXT NOT NULL,                 -- empty where no label has the code
    source     TEXT NOT NULL DEFAULT ''       -- the address from which a code was typed; empty at the console
) STRICT;

---- The receiver itself ---------------------------------------------------------------------------------------------

-- How the receiver stands with the broker; one row, written every few seconds while it runs.
CREATE TABLE receiver (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    written_at TEXT NOT NULL,
    since      TEXT,                          -- since when it is connected; NULL when it is not
    heard_at   TEXT,                          -- when the broker last sent anything, answers to keep-alives included
    error      TEXT,                          -- why the line last ended or was not opened
    doubt      TEXT                           -- 'boxes' while it doubts this machine's clock; NULL: it does not
) STRICT;

-- When the inbox was lost, rebuilt or put back, until a person has seen it.
CREATE TABLE losses (
    id         INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    code       TEXT NOT NULL,                 -- of the error that says what happened
    details    TEXT NOT NULL,                 -- JSON
    seen_at    TEXT
) STRICT;
