-- clinical.db, schema 1.  STRICT: a value of the wrong type is refused by SQLite itself.

CREATE TABLE associations (
    id         INTEGER PRIMARY KEY,
    source     TEXT NOT NULL,                 -- 'dicom:AE', 'folder', 'read'
    opened_at  TEXT NOT NULL,
    closed_at  TEXT
) STRICT;

CREATE TABLE cases (
    reference  TEXT PRIMARY KEY,              -- c-…, from the study under a secret (store.references)
    study_uid  TEXT UNIQUE,                   -- NULL for pictures that have no DICOM header
    modality   TEXT,
    revision   INTEGER NOT NULL DEFAULT 0,    -- 0 until the study first comes to rest
    priority   TEXT,
    fresh      INTEGER NOT NULL DEFAULT 1,    -- something came since the last revision
    opened_at  TEXT NOT NULL,
    touched    REAL NOT NULL                  -- monotonic seconds of the last arrival; only compared with "now"
) STRICT;
CREATE INDEX cases_fresh ON cases (fresh) WHERE fresh = 1;

CREATE TABLE instances (
    sequence   INTEGER PRIMARY KEY,           -- order of arrival
    reference  TEXT NOT NULL UNIQUE,          -- i-…, from the image under a secret
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    sop_uid    TEXT UNIQUE,
    series_uid TEXT,
    file       TEXT NOT NULL,                 -- below the state directory
    sha256     TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    header     TEXT,                          -- JSON of records.Header; NULL for a picture
    association INTEGER REFERENCES associations (id),
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done')),
    claims     INTEGER NOT NULL DEFAULT 0,    -- times a reader began with it
    failures   INTEGER NOT NULL DEFAULT 0,    -- times a child died or timed out over it
    received_at TEXT NOT NULL,
    read_at    TEXT
) STRICT;
CREATE INDEX instances_waiting ON instances (sequence) WHERE state = 'waiting';
CREATE INDEX instances_case ON instances (case_reference);
CREATE UNIQUE INDEX instances_picture ON instances (sha256) WHERE sop_uid IS NULL;

-- One row for everything that was ever handed to the box, whatever became of it.
CREATE TABLE arrivals (
    sequence   INTEGER PRIMARY KEY,
    path       TEXT NOT NULL,                 -- as the person gave it; 'dicom:AE' for a C-STORE
    outcome    TEXT NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'refused')),
    instance   TEXT REFERENCES instances (reference),
    case_reference TEXT REFERENCES cases (reference),
    code       TEXT,
    details    TEXT,                          -- JSON, the values of the code's sentence
    kept_file  TEXT,                          -- a conflicting object, below set_aside/
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX arrivals_case ON arrivals (case_reference);

CREATE TABLE readings (
    key        TEXT PRIMARY KEY,              -- what was read: an instance's reference, or a series' key
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    body       TEXT NOT NULL,                 -- JSON of records.Reading
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX readings_case ON readings (case_reference);
