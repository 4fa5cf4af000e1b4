-- clinical.db, schema 3, what the viewer adds: who the patient is, what the doctor said, who did what.

-- Every correction is a row; the highest version of a case holds.  NULL: as the image says.
CREATE TABLE identities (
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    version    INTEGER NOT NULL,
    name       TEXT,
    patient_id TEXT,
    age        TEXT CHECK (age GLOB '[0-9][0-9][0-9][DWMY]'),  -- PS3.5 6.2, VR AS; routing believes it over the image
    sex        TEXT CHECK (sex IN ('M', 'F', 'O')),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, version)
) STRICT;

CREATE TABLE verdicts (
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    finding    TEXT NOT NULL,                 -- its code
    verdict    TEXT NOT NULL CHECK (verdict IN ('agree', 'disagree', 'unsure')),
    revision   INTEGER NOT NULL,              -- of the case as the doctor saw it
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, finding)
) STRICT;

-- A doctor is done with a case until another image of it comes or it is read again.
CREATE TABLE reviews (
    case_reference TEXT PRIMARY KEY REFERENCES cases (reference),
    revision   INTEGER NOT NULL,              -- the one the doctor saw, or the one about to be closed
    images     INTEGER NOT NULL,              -- how many images the case had then
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- Readings that a later one replaced, because a fact they rested on was corrected.
CREATE TABLE superseded (
    sequence   INTEGER PRIMARY KEY,
    key        TEXT NOT NULL,
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    body       TEXT NOT NULL,
    read_at    TEXT NOT NULL,
    replaced_at TEXT NOT NULL
) STRICT;

-- Who saw, changed, exported or logged in; each row holds the hash of the one before (store/accounts/audit.py).
CREATE TABLE audit (
    sequence   INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    actor      TEXT NOT NULL,                 -- an account's name, 'console', or '' for someone unknown
    action     TEXT NOT NULL,
    case_reference TEXT NOT NULL,             -- '' where there is none
    details    TEXT NOT NULL,                 -- JSON; never a patient's name, id or a UID
    previous   TEXT NOT NULL,
    hash       TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
