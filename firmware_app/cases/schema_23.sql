-- clinical.db, schema 23: patients from the hospital's worklist among the registered ones (store.clinical.registrations).

ALTER TABLE registrations ADD COLUMN procedure_id TEXT NOT NULL DEFAULT '';  -- the hospital's; '': the accession number
ALTER TABLE registrations ADD COLUMN step_id TEXT NOT NULL DEFAULT '';
ALTER TABLE registrations ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE registrations ADD COLUMN origin TEXT NOT NULL DEFAULT '';        -- AE title of the hospital's; '': this box

-- When the hospital's worklist was asked last, and what came of it.
CREATE TABLE worklists_asked (
    origin     TEXT PRIMARY KEY,
    patients   INTEGER NOT NULL,
    reason     TEXT,                          -- JSON of records.Reason: why it did not answer; NULL: it did
    at         TEXT NOT NULL
) STRICT;
