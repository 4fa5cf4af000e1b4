-- clinical.db, schema 13: the versions of a case's result objects (store.result_versions).

-- One row whenever the objects say something else than before.  Rows stay when their case is deleted: an archive may hold
-- the objects, and the next version must name the last one.
CREATE TABLE result_versions (
    case_reference TEXT NOT NULL,
    version    INTEGER NOT NULL,              -- from 1
    state      TEXT NOT NULL,                 -- a digest of all that the objects say
    made_at    TEXT NOT NULL,                 -- ISO 8601: also in the objects, so that a second making gives the same
    PRIMARY KEY (case_reference, version)
) STRICT;
