-- clinical.db, schema 19: what an image shows, as a person said where the image does not (store.entries).

-- The highest version of an image holds; one whose words are all empty takes the earlier ones back.  The image is never
-- changed.
CREATE TABLE entered (
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    instance   TEXT NOT NULL,                 -- its reference
    version    INTEGER NOT NULL,
    modality   TEXT NOT NULL,
    body_part  TEXT NOT NULL,
    view       TEXT NOT NULL,
    population TEXT NOT NULL CHECK (population IN ('adult', 'children', '')),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (instance, version)
) STRICT;
CREATE INDEX entered_case ON entered (case_reference);
