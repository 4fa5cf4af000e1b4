-- clinical.db, schema 20: everything that a doctor says of a case, kept for good (store.clinical.remarks).

-- One row for each word.  The table verdicts holds what counts of them now; here the earlier ones stand too.
CREATE TABLE remarks (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference),
    kind       TEXT NOT NULL CHECK (kind IN ('verdict', 'missed', 'note', 'impression')),
    finding    TEXT NOT NULL,                 -- of a verdict; else ''
    positive   INTEGER CHECK (positive IN (0, 1)),  -- what the box had said of that finding; NULL: not known any more
    instance   TEXT NOT NULL,                 -- the image it is of; '': of the case
    text       TEXT NOT NULL,                 -- what was written; of a verdict its code, '' where it was taken back
    revision   INTEGER NOT NULL,              -- of the case as the doctor saw it
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX remarks_case ON remarks (case_reference, sequence);
CREATE INDEX remarks_actor ON remarks (actor);
CREATE TRIGGER remarks_are_fixed BEFORE UPDATE ON remarks BEGIN SELECT RAISE(ABORT, 'a remark is never changed'); END;
CREATE TRIGGER due_by_remark AFTER INSERT ON remarks WHEN NEW.kind <> 'verdict' BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
INSERT INTO remarks (case_reference, kind, finding, positive, instance, text, revision, actor, at)
    SELECT case_reference, 'verdict', finding, NULL, '', verdict, revision, actor, at FROM verdicts ORDER BY rowid;
