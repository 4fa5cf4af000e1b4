-- clinical.db, schema 4: how often this database had to be rebuilt.

CREATE TABLE rescues (
    number     INTEGER PRIMARY KEY,           -- of the folder below damaged/ that keeps what was set aside
    at         TEXT NOT NULL,
    revision_floor INTEGER NOT NULL,          -- every revision closed from now on is higher: the hospital may know these
    report     TEXT NOT NULL                  -- JSON of store.rescue.Report: what was kept, lost and taken in again
) STRICT;

CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL                  -- as store.references writes it: it must be found in a wreck by its look
) STRICT;
