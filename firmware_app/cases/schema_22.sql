-- clinical.db, schema 22: earlier studies of a patient in the clinic's archives (store.clinical.earlier).

-- 1: the study was fetched from an archive as an earlier one.  It is read last and shown beside the case that it was
-- fetched for; it is on no list, is told to no hospital, and its results are not sent.
ALTER TABLE cases ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0;

-- The last search for a case.
CREATE TABLE earlier_searches (
    case_reference TEXT PRIMARY KEY,
    asked      INTEGER NOT NULL DEFAULT 1,    -- 1: it is still to be done
    reason     TEXT,                          -- JSON of records.Reason: why an archive could not be searched
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- What the archives said that they have.
CREATE TABLE earlier_studies (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL,
    archive    TEXT NOT NULL,
    study_uid  TEXT NOT NULL,
    study_date TEXT NOT NULL,
    modalities TEXT NOT NULL,
    description TEXT NOT NULL,
    images     INTEGER NOT NULL,              -- 0: the archive did not say
    name       TEXT NOT NULL,                 -- as the archive has the patient, like the next four
    number     TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex        TEXT NOT NULL,
    doubts     TEXT NOT NULL,                 -- words of registration.agreement; '': it is the same patient
    state      TEXT NOT NULL CHECK (state IN ('found', 'wanted', 'fetched', 'failed')),
    kept       INTEGER NOT NULL DEFAULT 0,
    reason     TEXT,                          -- JSON of records.Reason: why it was not fetched whole
    UNIQUE (case_reference, archive, study_uid)
) STRICT;
