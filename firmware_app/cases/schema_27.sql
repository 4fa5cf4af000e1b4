-- clinical.db, schema 27: what a clinic gives a model engineer to learn from (store.clinical.feedback).

-- What a doctor noted of the patient's consent.  Nothing is overwritten; the last row of a case counts.
CREATE TABLE feedback_consents (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    given      INTEGER NOT NULL CHECK (given IN (0, 1)),   -- the patient agrees
    looked     INTEGER NOT NULL CHECK (looked IN (0, 1)),  -- the doctor saw no words in the pictures that name anybody
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_consents_case ON feedback_consents (case_reference, sequence);

-- What was written into an export, and in which state.
CREATE TABLE feedback_given (
    instance   TEXT PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    state      TEXT NOT NULL,                 -- a digest of label and drawings: a later word makes it due again
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_given_case ON feedback_given (case_reference);
