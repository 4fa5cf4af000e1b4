-- clinical.db, schema 12: how the packs do at this clinic (store.calibration).  Rows stay when their case is deleted: a
-- case reference says nothing of a patient, and the figures rest on them.

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
    distance   REAL                           -- from the training images; NULL where the pack does not say
) STRICT;
CREATE INDEX watched_of_pack ON watched (pack, version, machine, sequence);
