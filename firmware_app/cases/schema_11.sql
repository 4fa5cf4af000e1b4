-- clinical.db, schema 11: what each revision of a case said, and the facts of the patient's background (store.revisions).

-- Written when the study came to rest, and never changed: a later revision stands beside it.
CREATE TABLE conclusions (
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    revision   INTEGER NOT NULL,
    body       TEXT NOT NULL,                 -- JSON of records.Conclusion
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, revision)
) STRICT;

-- What a person says; the header's coded diagnoses stand in the readings.
CREATE TABLE background (
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    fact       TEXT NOT NULL,                 -- a code of a pack's rules of follow-up
    known      INTEGER NOT NULL CHECK (known IN (0, 1)),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, fact)
) STRICT;
