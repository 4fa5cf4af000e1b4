-- clinical.db, schema 24: which archive a name stood for, and what a FHIR server was told (store.sending, store.clinical).

-- Host, port and AE title; NULL where an older Lantern wrote the row.  Another place is another archive.
ALTER TABLE archives ADD COLUMN place TEXT;
-- 1: it gets results; 0: it did once.
ALTER TABLE archives ADD COLUMN sends INTEGER NOT NULL DEFAULT 1;

-- Every Observation that was ever put into a FHIR Bundle of the case, so that one that the case says no more is taken back.
CREATE TABLE told_observations (
    case_reference TEXT NOT NULL,
    uid        TEXT NOT NULL,
    PRIMARY KEY (case_reference, uid)
) STRICT, WITHOUT ROWID;
