-- clinical.db, schema 5: what was refused or set aside is listed, and the door's journal has an end.

-- Lines that left the journal (store.quarantine), counted by what they said; the newest stay in arrivals.
CREATE TABLE forgotten (
    outcome    TEXT NOT NULL CHECK (outcome IN ('duplicate', 'refused')),
    code       TEXT NOT NULL,                 -- '' for a duplicate
    count      INTEGER NOT NULL,
    latest     TEXT NOT NULL,                 -- when the newest of them came
    PRIMARY KEY (outcome, code)
) STRICT;
CREATE INDEX arrivals_outcome ON arrivals (outcome, sequence) WHERE outcome <> 'accepted';
CREATE INDEX arrivals_kept ON arrivals (kept_file, sequence) WHERE kept_file IS NOT NULL;
CREATE INDEX readings_reason ON readings (json_extract(body, '$.reason.code'))
    WHERE json_extract(body, '$.reason.code') IS NOT NULL;
