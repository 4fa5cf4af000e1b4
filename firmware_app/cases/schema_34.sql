-- clinical.db, schema 34: several patients in one study (store.clinical.study_cases).

-- The Study Instance UID of a case of another patient than the study's first one; `study_uid` is NULL then.
ALTER TABLE cases ADD COLUMN shared_study TEXT;
CREATE INDEX cases_shared_study ON cases (shared_study) WHERE shared_study IS NOT NULL;

-- What the objects of a case say of the patient, each statement once; '': they do not say it.
CREATE TABLE case_persons (
    case_reference TEXT NOT NULL,
    number     TEXT NOT NULL,                 -- Patient ID
    issuer     TEXT NOT NULL,                 -- Issuer of Patient ID
    name       TEXT NOT NULL,                 -- PN with its groups
    birth_date TEXT NOT NULL,
    PRIMARY KEY (case_reference, number, issuer, name, birth_date)
) STRICT, WITHOUT ROWID;
