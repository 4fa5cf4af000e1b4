-- clinical.db, schema 15: results on their way to the clinic's archives (store.sendings).

-- Cases whose results may say something else than the objects that were made last.  The triggers write it in the same
-- transaction as what changed, whichever process that was.
CREATE TABLE results_due (
    case_reference TEXT PRIMARY KEY,
    changes    INTEGER NOT NULL DEFAULT 1,    -- rises with every change: one that comes while objects are made is seen
    again      INTEGER NOT NULL DEFAULT 0     -- 1: a person asked for them, also where an archive has them already
) STRICT;
CREATE TRIGGER due_by_revision AFTER UPDATE OF revision ON cases WHEN NEW.revision <> OLD.revision BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_verdict AFTER INSERT ON verdicts BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_withdrawal AFTER DELETE ON verdicts BEGIN
    INSERT INTO results_due (case_reference) VALUES (OLD.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_review AFTER INSERT ON reviews BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_reopening AFTER DELETE ON reviews BEGIN
    INSERT INTO results_due (case_reference) VALUES (OLD.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_identity AFTER INSERT ON identities BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;

-- The archives by the name that the configuration gives them.
CREATE TABLE archives (
    name       TEXT PRIMARY KEY,
    reason     TEXT,                          -- JSON of records.Reason: why the last try failed; NULL: it did not
    commits    INTEGER,                       -- 1: it offers Storage Commitment; 0: it does not; NULL: not known yet
    at         TEXT NOT NULL                  -- of the last change
) STRICT;

-- The newest version of a case's objects that was put into an archive's queue.
CREATE TABLE queued_results (
    archive    TEXT NOT NULL,
    case_reference TEXT NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (archive, case_reference)
) STRICT;

-- One row for each object and archive.  Rows that are still to be sent stay when their case is deleted.
CREATE TABLE sendings (
    sequence   INTEGER PRIMARY KEY,           -- the order of sending: what others refer to comes first
    archive    TEXT NOT NULL,
    case_reference TEXT NOT NULL,
    version    INTEGER NOT NULL,              -- of result_versions
    kind       TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    file       TEXT NOT NULL,                 -- below outgoing/; it is there until the object has arrived everywhere
    stage      TEXT NOT NULL DEFAULT 'waiting' CHECK (stage IN
        ('waiting', 'stored', 'committed', 'accepted', 'replaced')),
    failures   INTEGER NOT NULL DEFAULT 0,    -- answers in a row by which it is not there
    asked      INTEGER NOT NULL DEFAULT 0,    -- requests for commitment since it was stored last
    reason     TEXT,                          -- JSON of records.Reason: the last of them
    at         TEXT NOT NULL,                 -- of the last change
    UNIQUE (archive, sop_instance_uid)
) STRICT;
CREATE INDEX sendings_open ON sendings (archive, sequence) WHERE stage IN ('waiting', 'stored');
CREATE INDEX sendings_case ON sendings (case_reference);
CREATE INDEX sendings_file ON sendings (file);

-- Storage Commitment that we asked for (PS3.4 J).
CREATE TABLE commitment_requests (
    transaction_uid TEXT PRIMARY KEY,
    archive    TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- Storage Commitment that others asked us for, until they have our answer.
CREATE TABLE commitment_answers (
    sequence   INTEGER PRIMARY KEY,
    calling_ae TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    answer     TEXT NOT NULL,                 -- JSON of records.Commitment
    open       INTEGER NOT NULL,              -- 1: the association that asked is still there, and answered on first
    at         TEXT NOT NULL
) STRICT;
