-- clinical.db, schema 8: each doctor's word on a finding stands beside the others' (store.worklist).

-- 'none': the doctor is done with the case and has no opinion on this finding.
ALTER TABLE verdicts RENAME TO verdicts_of_one;
CREATE TABLE verdicts (
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    finding    TEXT NOT NULL,                 -- its code
    verdict    TEXT NOT NULL CHECK (verdict IN ('agree', 'disagree', 'unsure', 'none')),
    revision   INTEGER NOT NULL,              -- of the case as the doctor saw it
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, finding, actor)
) STRICT;
INSERT INTO verdicts SELECT case_reference, finding, verdict, revision, actor, at FROM verdicts_of_one ORDER BY rowid;
DROP TABLE verdicts_of_one;
