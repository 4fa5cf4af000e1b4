-- clinical.db, schema 14: registered patients, from whom the worklist is answered (store.registrations).

-- One row for each examination that a person asked for.
CREATE TABLE registrations (
    sequence   INTEGER PRIMARY KEY,
    accession  TEXT NOT NULL UNIQUE,          -- also the ids of the requested procedure and its step
    study_uid  TEXT NOT NULL UNIQUE,
    patient_id TEXT NOT NULL,
    name       TEXT NOT NULL,                 -- as people write it
    person_name TEXT NOT NULL,                -- PN with its groups
    birth_date TEXT NOT NULL,                 -- DA; '': nobody knows it
    age        TEXT NOT NULL,                 -- AS at registration
    sex        TEXT NOT NULL CHECK (sex IN ('M', 'F', 'O', '')),
    examination TEXT NOT NULL,                -- a code of registration.examinations
    scheduled  TEXT NOT NULL,                 -- local time, DA and TM together
    cancelled  INTEGER NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1)),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX registrations_patient ON registrations (patient_id);

-- The registration whose patient the case has; NULL: the case is tied to none.
ALTER TABLE identities ADD COLUMN registration TEXT;
CREATE INDEX identities_registration ON identities (registration) WHERE registration IS NOT NULL;
