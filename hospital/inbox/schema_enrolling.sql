-- Enrolment over the line: the labels that were printed, who asks, and what was done.

-- A label's code is derived (prepare.code_of) and stands nowhere.  It enrols one box, once.
CREATE TABLE label_codes (
    box        TEXT PRIMARY KEY,
    expires    INTEGER NOT NULL,              -- Unix seconds of the hospital's clock, as its file says
    used_at    TEXT,
    request    TEXT,                          -- SHA-256 of the request that was answered
    answer     BLOB,                          -- enrolling.EnrolAnswer
    token      TEXT                           -- under which it is due; NULL: sent, until the box asks again
) STRICT;

-- The last request of each box that was made with the code of its label and not answered yet.
CREATE TABLE enrol_requests (
    box        TEXT PRIMARY KEY,
    token      TEXT NOT NULL,
    body       BLOB NOT NULL,                 -- enrolling.EnrolRequest
    received_at TEXT NOT NULL
) STRICT;

-- Who did what.  Nothing is deleted; a typed code counts as wrong until it turns out to be that of a label.
CREATE TABLE enrol_audit (
    id         INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    actor      TEXT NOT NULL,                 -- line, page, console
    action     TEXT NOT NULL,
    box        TEXT NOT NULL                  -- empty where no label has the code
) STRICT;
