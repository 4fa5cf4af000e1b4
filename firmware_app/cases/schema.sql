-- clinical.db: the whole schema.  STRICT: SQLite itself refuses a value of the wrong type.
--
-- A row that belongs to a case leaves with it (ON DELETE CASCADE).  A `case_reference` without REFERENCES stays when the
-- case is deleted: it says nothing of a patient, and the comment of its table says why the row is still needed.

---- Images and cases ------------------------------------------------------------------------------------------------

-- One row for each connection, stick or folder that images came by.
CREATE TABLE associations (
    id         INTEGER PRIMARY KEY,
    source     TEXT NOT NULL,                 -- 'dicom:AE', 'archive:NAME', 'usb', 'folder', 'read'
    opened_at  TEXT NOT NULL,
    closed_at  TEXT
) STRICT;

-- One row for each study, or for each patient in a study of several.
CREATE TABLE cases (
    reference  TEXT PRIMARY KEY,              -- c-…, from the study under a secret (cases.references)
    study_uid  TEXT UNIQUE,                   -- NULL for pictures that have no DICOM header
    modality   TEXT,
    revision   INTEGER NOT NULL DEFAULT 0,    -- 0 until the study first comes to rest
    priority   TEXT,
    fresh      INTEGER NOT NULL DEFAULT 1,    -- something came since the last revision
    opened_at  TEXT NOT NULL,
    touched    REAL NOT NULL,                 -- monotonic seconds of the last arrival; only compared with "now"
    earlier    INTEGER NOT NULL DEFAULT 0,    -- 1: fetched from an archive; read last, on no list, sent nowhere
    shared_study TEXT                         -- the study's UID where `study_uid` is that of another patient's case
) STRICT;
CREATE INDEX cases_fresh ON cases (fresh) WHERE fresh = 1;
CREATE INDEX cases_shared_study ON cases (shared_study) WHERE shared_study IS NOT NULL;

-- What the objects of a case say of the patient, each statement once; '': they do not say it.
CREATE TABLE case_persons (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    number     TEXT NOT NULL,                 -- Patient ID
    issuer     TEXT NOT NULL,                 -- Issuer of Patient ID
    name       TEXT NOT NULL,                 -- PN with its groups
    birth_date TEXT NOT NULL,
    PRIMARY KEY (case_reference, number, issuer, name, birth_date)
) STRICT, WITHOUT ROWID;

-- One row for each DICOM object or image file.
CREATE TABLE instances (
    sequence   INTEGER PRIMARY KEY,           -- order of arrival
    reference  TEXT NOT NULL UNIQUE,          -- i-…, from the image under a secret
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    sop_uid    TEXT UNIQUE,
    series_uid TEXT,
    file       TEXT NOT NULL,                 -- below the state directory
    sha256     TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    header     TEXT,                          -- JSON of records.Header; NULL for a picture
    association INTEGER REFERENCES associations (id),
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done')),
    claims     INTEGER NOT NULL DEFAULT 0,    -- times a reader began with it
    failures   INTEGER NOT NULL DEFAULT 0,    -- times a child died or timed out over it
    received_at TEXT NOT NULL,
    read_at    TEXT,
    kind       TEXT                           -- of an object that is kept and never read (sop_classes); NULL: an image
) STRICT;
CREATE INDEX instances_waiting ON instances (sequence) WHERE state = 'waiting';
CREATE INDEX instances_case ON instances (case_reference);
CREATE INDEX instances_association ON instances (association) WHERE association IS NOT NULL;
CREATE UNIQUE INDEX instances_picture ON instances (sha256) WHERE sop_uid IS NULL;

-- Long clips of which the frames in between are still to be written for people (reading.reader_steps).
CREATE TABLE long_clips (
    instance   TEXT PRIMARY KEY REFERENCES instances (reference) ON DELETE CASCADE,
    next       INTEGER NOT NULL DEFAULT 0     -- the first frame that was not looked at
) STRICT, WITHOUT ROWID;

-- One row for everything that was ever handed to the box, whatever became of it.
CREATE TABLE arrivals (
    sequence   INTEGER PRIMARY KEY,
    path       TEXT NOT NULL,                 -- as the person gave it; 'dicom:AE' for a C-STORE
    outcome    TEXT NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'refused')),
    instance   TEXT REFERENCES instances (reference) ON DELETE CASCADE,
    case_reference TEXT REFERENCES cases (reference) ON DELETE CASCADE,
    code       TEXT,
    details    TEXT,                          -- JSON, the values of the code's sentence
    kept_file  TEXT,                          -- a conflicting object, below set_aside/
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX arrivals_case ON arrivals (case_reference);
CREATE INDEX arrivals_instance ON arrivals (instance);
CREATE INDEX arrivals_outcome ON arrivals (outcome, sequence) WHERE outcome <> 'accepted';
CREATE INDEX arrivals_kept ON arrivals (kept_file, sequence) WHERE kept_file IS NOT NULL;

-- Lines that left the journal (cases.quarantine), counted by what they said; the newest stay in arrivals.
CREATE TABLE forgotten (
    outcome    TEXT NOT NULL CHECK (outcome IN ('duplicate', 'refused')),
    code       TEXT NOT NULL,                 -- '' for a duplicate
    count      INTEGER NOT NULL,
    latest     TEXT NOT NULL,                 -- when the newest of them came
    PRIMARY KEY (outcome, code)
) STRICT;

-- The imports whose every image belongs to a stick that was met to its end, by them or by a later one (usb_import).  An
-- import that has no row here, for whatever reason, leaves its cases marked incomplete: a lost row marks too much,
-- never too little.
CREATE TABLE whole (
    association INTEGER PRIMARY KEY            -- of associations whose source is 'usb'
) STRICT;

-- Images that the list on a stick (DICOMDIR) names in a case and that were not on the stick.
CREATE TABLE listed_more (
    case_reference TEXT PRIMARY KEY REFERENCES cases (reference) ON DELETE CASCADE,
    count      INTEGER NOT NULL
) STRICT;

-- Cases that were deleted to make room (case_deletion).  One that comes again goes on behind the revision that the
-- hospital may know.
CREATE TABLE retired (
    case_reference TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    arrivals   INTEGER NOT NULL,              -- lines that left the journal with it
    superseded INTEGER NOT NULL,              -- readings that left with it
    at         TEXT NOT NULL                  -- when it was deleted last
) STRICT;

-- Files and folders of deleted cases that are still on the disk: no rescue takes them in again.
CREATE TABLE leaving (
    name       TEXT PRIMARY KEY,              -- below the state directory
    case_reference TEXT NOT NULL,
    bytes      INTEGER NOT NULL
) STRICT;

---- Readings --------------------------------------------------------------------------------------------------------

-- What the packs said: the result of one pack for one instance or one series.
CREATE TABLE readings (
    key        TEXT PRIMARY KEY,              -- what was read: an instance's reference, or a series' key
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    body       TEXT NOT NULL,                 -- JSON of records.Reading
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX readings_case ON readings (case_reference);
CREATE INDEX readings_reason ON readings (json_extract(body, '$.reason.code'))
    WHERE json_extract(body, '$.reason.code') IS NOT NULL;

-- Readings that a later one replaced, because a fact they rested on was corrected.
CREATE TABLE superseded (
    sequence   INTEGER PRIMARY KEY,
    key        TEXT NOT NULL,
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    body       TEXT NOT NULL,
    read_at    TEXT NOT NULL,
    replaced_at TEXT NOT NULL
) STRICT;
CREATE INDEX superseded_case ON superseded (case_reference);

-- What each revision of a case said.  Written when the study came to rest, and never changed.
CREATE TABLE conclusions (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    revision   INTEGER NOT NULL,
    body       TEXT NOT NULL,                 -- JSON of records.Conclusion
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, revision)
) STRICT;

---- What people say of a case ---------------------------------------------------------------------------------------

-- Who the patient is.  Every correction is a row; the highest version of a case holds.  NULL: as the image says.
CREATE TABLE identities (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    name       TEXT,
    patient_id TEXT,
    age        TEXT CHECK (age GLOB '[0-9][0-9][0-9][DWMY]'),  -- PS3.5 6.2, VR AS; routing believes it over the image
    sex        TEXT CHECK (sex IN ('M', 'F', 'O')),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    registration TEXT,                        -- accession number of the patient's registration; NULL: tied to none
    PRIMARY KEY (case_reference, version)
) STRICT;
CREATE INDEX identities_registration ON identities (registration) WHERE registration IS NOT NULL;

-- What an image shows, where the image does not say it (cases.remarks).  The highest version of an image holds; one whose
-- words are all empty takes the earlier ones back.  The image is never changed.
CREATE TABLE entered (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
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

-- Facts of the patient's background; the header's coded diagnoses stand in the readings.
CREATE TABLE background (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    fact       TEXT NOT NULL,                 -- a code of a pack's rules of follow-up
    known      INTEGER NOT NULL CHECK (known IN (0, 1)),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, fact)
) STRICT;

-- What each doctor says of each finding now.  'none': done with the case, without an opinion on this finding.
CREATE TABLE verdicts (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    finding    TEXT NOT NULL,                 -- its code
    verdict    TEXT NOT NULL CHECK (verdict IN ('agree', 'disagree', 'unsure', 'none')),
    revision   INTEGER NOT NULL,              -- of the case as the doctor saw it
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (case_reference, finding, actor)
) STRICT;

-- Everything that a doctor ever said of a case (cases.remarks), one row for each word.
CREATE TABLE remarks (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('verdict', 'missed', 'note', 'impression')),
    finding    TEXT NOT NULL,                 -- of a verdict; else ''
    positive   INTEGER CHECK (positive IN (0, 1)),  -- what the box had said of that finding; NULL: not known any more
    instance   TEXT NOT NULL,                 -- the image it is of; '': of the case
    text       TEXT NOT NULL,                 -- what was written; of a verdict its code, '' where it was taken back
    revision   INTEGER NOT NULL,              -- of the case as the doctor saw it
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    drawing    TEXT                           -- JSON of what was drawn with it; NULL: nothing
) STRICT;
CREATE INDEX remarks_case ON remarks (case_reference, sequence);
CREATE INDEX remarks_actor ON remarks (actor);
CREATE TRIGGER remarks_are_fixed BEFORE UPDATE ON remarks BEGIN SELECT RAISE(ABORT, 'a remark is never changed'); END;

-- A doctor is done with a case until another image of it comes or it is read again.
CREATE TABLE reviews (
    case_reference TEXT PRIMARY KEY REFERENCES cases (reference) ON DELETE CASCADE,
    revision   INTEGER NOT NULL,              -- the one the doctor saw, or the one about to be closed
    images     INTEGER NOT NULL,              -- how many images the case had then
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- What a doctor noted of the patient's consent to teach a model (cases.exports).  The last row of a case counts.
CREATE TABLE feedback_consents (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    given      INTEGER NOT NULL CHECK (given IN (0, 1)),   -- the patient agrees
    looked     INTEGER NOT NULL CHECK (looked IN (0, 1)),  -- the doctor saw no words in the pictures that name anybody
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_consents_case ON feedback_consents (case_reference, sequence);

-- What was written into an export for a model engineer, and in which state.
CREATE TABLE feedback_given (
    instance   TEXT PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    state      TEXT NOT NULL,                 -- a digest of label and drawings: a later word makes it due again
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_given_case ON feedback_given (case_reference);

---- Patients who are expected, and their earlier studies -------------------------------------------------------------

-- One row for each examination that a person asked for; the worklist is answered from it (cases.registrations).
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
    examination TEXT NOT NULL,                -- a code of the list of examinations
    scheduled  TEXT NOT NULL,                 -- local time, DA and TM together
    cancelled  INTEGER NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1)),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    procedure_id TEXT NOT NULL DEFAULT '',    -- the hospital's; '': the accession number
    step_id    TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    origin     TEXT NOT NULL DEFAULT ''       -- AE title of the hospital's worklist; '': this box
) STRICT;
CREATE INDEX registrations_patient ON registrations (patient_id);

-- When the hospital's worklist was asked last, and what came of it.
CREATE TABLE worklists_asked (
    origin     TEXT PRIMARY KEY,
    patients   INTEGER NOT NULL,
    reason     TEXT,                          -- JSON of records.Reason: why it did not answer; NULL: it did
    at         TEXT NOT NULL
) STRICT;

-- The last search for earlier studies of a case's patient in the clinic's archives.
CREATE TABLE earlier_searches (
    case_reference TEXT PRIMARY KEY REFERENCES cases (reference) ON DELETE CASCADE,
    asked      INTEGER NOT NULL DEFAULT 1,    -- 1: it is still to be done
    reason     TEXT,                          -- JSON of records.Reason: why an archive could not be searched
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- What the archives said that they have.
CREATE TABLE earlier_studies (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    archive    TEXT NOT NULL,
    study_uid  TEXT NOT NULL,
    study_date TEXT NOT NULL,
    modalities TEXT NOT NULL,
    description TEXT NOT NULL,
    images     INTEGER NOT NULL,              -- 0: the archive did not say
    name       TEXT NOT NULL,                 -- as the archive has the patient, like the next four
    number     TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex        TEXT NOT NULL,
    doubts     TEXT NOT NULL,                 -- what speaks against its being the same patient; '': nothing
    state      TEXT NOT NULL CHECK (state IN ('found', 'wanted', 'fetched', 'failed')),
    kept       INTEGER NOT NULL DEFAULT 0,
    reason     TEXT,                          -- JSON of records.Reason: why it was not fetched whole
    UNIQUE (case_reference, archive, study_uid)
) STRICT;

---- Results on their way to the clinic's archives --------------------------------------------------------------------

-- Cases whose results may say something else than the objects that were made last.  The triggers write it in the same
-- transaction as what changed, whichever process that was.
CREATE TABLE results_due (
    case_reference TEXT PRIMARY KEY REFERENCES cases (reference) ON DELETE CASCADE,
    changes    INTEGER NOT NULL DEFAULT 1,    -- rises with every change: one that comes while objects are made is seen
    again      INTEGER NOT NULL DEFAULT 0,    -- 1: a person asked for them, also where an archive has them already
    reason     TEXT                           -- JSON of records.Reason: why they could not be made; it is tried again
) STRICT;
CREATE TRIGGER due_by_revision AFTER UPDATE OF revision ON cases WHEN NEW.revision <> OLD.revision BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_verdict AFTER INSERT ON verdicts BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_withdrawal AFTER DELETE ON verdicts
WHEN EXISTS (SELECT 1 FROM cases WHERE reference = OLD.case_reference) BEGIN
    INSERT INTO results_due (case_reference) VALUES (OLD.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_review AFTER INSERT ON reviews BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_reopening AFTER DELETE ON reviews
WHEN EXISTS (SELECT 1 FROM cases WHERE reference = OLD.case_reference) BEGIN
    INSERT INTO results_due (case_reference) VALUES (OLD.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_identity AFTER INSERT ON identities BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER due_by_remark AFTER INSERT ON remarks WHEN NEW.kind <> 'verdict' BEGIN
    INSERT INTO results_due (case_reference) VALUES (NEW.case_reference)
    ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1;
END;

-- The versions of a case's result objects, one whenever they say something else than before.  Rows stay when their case
-- is deleted: an archive may hold the objects, and the next version must name the last one.
CREATE TABLE result_versions (
    case_reference TEXT NOT NULL,
    version    INTEGER NOT NULL,              -- from 1
    state      TEXT NOT NULL,                 -- a digest of all that the objects say
    made_at    TEXT NOT NULL,                 -- ISO 8601: also in the objects, so that a second making gives the same
    signed_state TEXT,                        -- a digest of what a doctor signed: while it holds, a new name, language or
                                              -- software of the box makes no new version; NULL where nobody has
    maker      TEXT,                          -- JSON: the box's name, language and software when it was made
    drawn      TEXT,                          -- a digest of what pictures, segmentations and presentation states show,
    drawn_version INTEGER,                    -- and the version since which they are the same
    PRIMARY KEY (case_reference, version)
) STRICT;

-- The clinic's archives by the name that the configuration gives them.
CREATE TABLE archives (
    name       TEXT PRIMARY KEY,
    reason     TEXT,                          -- JSON of records.Reason: why the last try failed; NULL: it did not
    commits    INTEGER,                       -- 1: it offers Storage Commitment; 0: it does not; NULL: not known yet
    at         TEXT NOT NULL,                 -- of the last change
    place      TEXT,                          -- host, port and AE title: another place is another archive
    sends      INTEGER NOT NULL DEFAULT 1     -- 1: it gets results; 0: it did once
) STRICT;

-- The newest version of a case's objects that was put into an archive's queue.  Rows stay when their case is deleted: one
-- that comes again must not be sent twice.
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

-- Objects of the newest version of each case that viewers may fetch over DICOMweb.
CREATE TABLE offered_results (
    sop_instance_uid TEXT PRIMARY KEY,
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    study_uid  TEXT NOT NULL,
    series_uid TEXT NOT NULL,
    file       TEXT NOT NULL,                 -- below results/; beside it, ending in .json, the object's metadata
    bytes      INTEGER NOT NULL,              -- of both
    attributes TEXT NOT NULL,                 -- DICOM JSON (PS3.18 F) of what a search matches and tells
    bulk       TEXT NOT NULL,                 -- JSON: tag -> [first byte, bytes, frames] of long values in the file
    sequence   INTEGER NOT NULL               -- the order of making
) STRICT;
CREATE INDEX offered_results_case ON offered_results (case_reference);
CREATE INDEX offered_results_study ON offered_results (study_uid, series_uid);

-- Every Observation that was ever put into a FHIR Bundle of the case, so that one that the case says no more is taken
-- back.
CREATE TABLE told_observations (
    case_reference TEXT NOT NULL REFERENCES cases (reference) ON DELETE CASCADE,
    uid        TEXT NOT NULL,
    PRIMARY KEY (case_reference, uid)
) STRICT, WITHOUT ROWID;

---- The hospital ----------------------------------------------------------------------------------------------------

-- What the hospital must still hear of.  Written in the transaction that closes the revision; deleted when the
-- hospital's signed receipt has come.  A case that has a row here is not deleted.
CREATE TABLE outbox (
    case_reference TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    urgent     INTEGER NOT NULL,
    body       TEXT NOT NULL,                 -- JSON of summary.Brief
    relayed    INTEGER NOT NULL DEFAULT 0,    -- 1: exchange.db has it
    seq        INTEGER,                       -- of the message that carries it
    hash       TEXT,                          -- of that message's body: only a receipt that names it settles the row
    PRIMARY KEY (case_reference, revision)
) STRICT;
CREATE INDEX outbox_next ON outbox (urgent) WHERE relayed = 0;
CREATE INDEX outbox_seq ON outbox (seq) WHERE seq IS NOT NULL;

-- One row: how far the numbers have come, and the hospital's newest signed key.
CREATE TABLE line_memory (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    stream     TEXT NOT NULL,
    highest    INTEGER NOT NULL,              -- number given out in this stream
    session    INTEGER NOT NULL,              -- connection seen in this stream
    hospital   TEXT,                          -- whose key: the hospital's Ed25519 key
    keys       BLOB                           -- as it was signed
) STRICT;

-- When the hospital signed for a case.
CREATE TABLE hospital_receipts (
    case_reference TEXT PRIMARY KEY REFERENCES cases (reference) ON DELETE CASCADE,
    revision   INTEGER NOT NULL,              -- the newest that was signed for
    at         TEXT NOT NULL                  -- the hospital's clock in its signed receipt; where it doubts it, the box's
) STRICT, WITHOUT ROWID;

---- How the packs do at this clinic ---------------------------------------------------------------------------------
-- Rows stay when their case is deleted: the figures rest on them.

-- The imaging machines whose films were read.
CREATE TABLE machines (
    digest     TEXT PRIMARY KEY,              -- m-…, of manufacturer, model and station under a secret of the box
    name       TEXT NOT NULL,                 -- for people at the box alone: in no log, never sent
    at         TEXT NOT NULL
) STRICT;

-- One row for each finding of a case for which a version of a pack gave a score; of several images the strongest.
CREATE TABLE scored (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL,
    finding    TEXT NOT NULL,
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    machine    TEXT NOT NULL,
    score      REAL NOT NULL,                 -- the probability as the pack gives it, at the pack's own prevalence
    threshold  REAL NOT NULL,                 -- in force then, at the same prevalence
    asked      TEXT CHECK (asked IN ('before', 'low', 'called')),  -- why its truth is asked for; NULL: it is not
    probability REAL NOT NULL,                -- with which a film on its side of the threshold is asked for
    at         TEXT NOT NULL,
    UNIQUE (case_reference, finding, pack, version)
) STRICT;
CREATE INDEX scored_of_pack ON scored (pack, version, machine);

-- What a person or a laboratory says of a finding.  Nothing is overwritten; the last of the highest source counts.
CREATE TABLE confirmations (
    sequence   INTEGER PRIMARY KEY,
    case_reference TEXT NOT NULL,
    finding    TEXT NOT NULL,
    truth      TEXT NOT NULL CHECK (truth IN ('positive', 'negative', 'unsure')),
    source     TEXT NOT NULL CHECK (source IN
        ('laboratory', 'referral', 'csv', 'own_reading_before_shown', 'after_shown')),
    complete   INTEGER NOT NULL DEFAULT 0,    -- 1: the outcomes of all films of its time were given, not of chosen ones
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX confirmations_of_case ON confirmations (case_reference, finding);

-- Cases whose result a person has seen: from then on nobody's reading is one "before it was shown".
CREATE TABLE shown (
    case_reference TEXT PRIMARY KEY,
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    scores     INTEGER NOT NULL               -- how many of the case's findings had one
) STRICT;

-- When a version of a pack was suspended on a machine, and when a person let it go on.
CREATE TABLE standings (
    sequence   INTEGER PRIMARY KEY,
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    machine    TEXT NOT NULL,
    event      TEXT NOT NULL CHECK (event IN ('suspended', 'resumed')),
    details    TEXT NOT NULL,                 -- JSON: the finding, the rule, the figures
    newest     INTEGER NOT NULL,              -- of scored then: after 'resumed' only later films are tested
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- Who has agreed to which operating point; two roles must agree to the same content before it is signed.
CREATE TABLE agreements (
    sequence   INTEGER PRIMARY KEY,
    digest     TEXT NOT NULL,                 -- SHA-256 of content
    content    TEXT NOT NULL,                 -- canonical JSON
    agreed     INTEGER NOT NULL,              -- how many have agreed by now, this one included
    role       TEXT NOT NULL CHECK (role IN ('doctor', 'technician')),
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;

-- One row for each image given to a pack, to see drift: the first ones and the newest of each machine are kept.
CREATE TABLE watched (
    sequence   INTEGER PRIMARY KEY,
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    machine    TEXT NOT NULL,
    refused    INTEGER NOT NULL,              -- 1: no number was given
    called     INTEGER NOT NULL,              -- 1: a finding was positive
    distance   REAL,                          -- from the training images; NULL where the pack does not say
    score      REAL,                          -- the strongest finding's probability, at the pack's own prevalence
    blur       REAL,                          -- quality measures; NULL where they were not taken
    noise      REAL,
    pale       REAL
) STRICT;
CREATE INDEX watched_of_pack ON watched (pack, version, machine, sequence);

-- The log odds of the first films of a machine, set down anew as more come, until a person goes back to the pack's own
-- threshold; the last row counts.
CREATE TABLE machine_scores (
    sequence   INTEGER PRIMARY KEY,
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    machine    TEXT NOT NULL,
    finding    TEXT NOT NULL,
    event      TEXT NOT NULL CHECK (event IN ('set', 'undone')),
    films      INTEGER NOT NULL,              -- 0 where undone, as the next two
    mean       REAL NOT NULL,
    spread     REAL NOT NULL,                 -- standard deviation
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX machine_scores_of_pack ON machine_scores (pack, version, machine, finding, sequence);

-- Versions of packs that do worse here than their card says.
CREATE TABLE clinical_falls (
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    measure    TEXT NOT NULL,                 -- sensitivity or specificity
    films      INTEGER NOT NULL,              -- confirmed ones after which it was seen
    at         TEXT NOT NULL,
    noted      INTEGER NOT NULL DEFAULT 0,    -- 1: a person has seen it
    PRIMARY KEY (pack, version)
) STRICT, WITHOUT ROWID;

---- Changing packs --------------------------------------------------------------------------------------------------

-- What a person asked for on the page of the models.
CREATE TABLE pack_changes (
    pack       TEXT PRIMARY KEY,
    version    TEXT NOT NULL,                 -- the installed one that is to be left; another in use: it was done
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    asked      INTEGER NOT NULL DEFAULT 1,    -- 1: the reader is to do it
    reason     TEXT,                          -- JSON of records.Reason: why it could not
    wish       TEXT NOT NULL DEFAULT 'back'   -- back, commit or drop
) STRICT, WITHOUT ROWID;

-- Versions of packs on trial beside the one that serves.
CREATE TABLE pack_trials (
    pack       TEXT PRIMARY KEY,              -- of each pack the last trial
    version    TEXT NOT NULL,
    before     TEXT NOT NULL,                 -- the version that serves meanwhile
    mark       INTEGER NOT NULL,              -- of the link on the disk: another one is another trial
    began      TEXT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'running',  -- running, committed, left (by itself) or dropped (by a person)
    ended      TEXT,
    actor      TEXT,                          -- who ended it
    reason     TEXT,                          -- JSON of records.Reason: why it was left
    noted      INTEGER NOT NULL DEFAULT 0     -- 1: a person has seen that it was left
) STRICT, WITHOUT ROWID;

-- Both results for one image.  No patient data: rows stay when their case is deleted.
CREATE TABLE trial_images (
    sequence       INTEGER PRIMARY KEY,
    pack           TEXT NOT NULL,
    version        TEXT NOT NULL,
    instance       TEXT NOT NULL,             -- the key of the serving version's reading
    case_reference TEXT NOT NULL,
    serving_status TEXT NOT NULL,             -- read or cannot-judge
    serving_called INTEGER,                   -- 1: found; null without a number
    serving_score  REAL,
    serving_ms     REAL,
    serving_code   TEXT,                      -- why it gave no number
    status         TEXT NOT NULL DEFAULT 'waiting',  -- waiting, read, cannot-judge (for a reason in its manifest), failed, gone
    called         INTEGER,
    score          REAL,
    ms             REAL,                      -- null where other work disturbed it
    code           TEXT,
    tries          INTEGER NOT NULL DEFAULT 0,  -- children that were lost over it
    UNIQUE (pack, version, instance)
) STRICT;

---- The box itself --------------------------------------------------------------------------------------------------

-- Imaging devices that a technician entered, and what came of testing the line to them.
CREATE TABLE modalities (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    title      TEXT NOT NULL,                 -- AE title
    host       TEXT NOT NULL,
    port       INTEGER NOT NULL,
    asked      INTEGER NOT NULL DEFAULT 0,    -- 1: the gateway is to test the line to it
    asked_at   TEXT,
    tested_at  TEXT,
    reason     TEXT,                          -- JSON of records.Reason: what came of the last test
    reached    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (title, host, port)
) STRICT;

-- Who saw, changed, exported or logged in; each row holds the hash of the one before (cases.audit).
CREATE TABLE audit (
    sequence   INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    actor      TEXT NOT NULL,                 -- an account's name, 'console', or '' for someone unknown
    action     TEXT NOT NULL,
    case_reference TEXT NOT NULL,             -- '' where there is none
    details    TEXT NOT NULL,                 -- JSON; never a patient's name, id or a UID
    previous   TEXT NOT NULL,
    hash       TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- How often this database had to be rebuilt.
CREATE TABLE rescues (
    number     INTEGER PRIMARY KEY,           -- of the folder below damaged/ that keeps what was set aside
    at         TEXT NOT NULL,
    revision_floor INTEGER NOT NULL,          -- every revision closed from now on is higher: the hospital may know these
    report     TEXT NOT NULL                  -- JSON of rescue.RescueReport
) STRICT;

-- Secrets that are also kept in files, so that a rescue finds one of the two.
CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL                  -- with its checksum (cases.references)
) STRICT;
