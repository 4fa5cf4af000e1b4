-- clinical.db, schema 32: versions of packs on trial beside the one that serves (store.clinical.pack_trials).

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

CREATE TABLE trial_images (                   -- both results for one image; no patient data
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

ALTER TABLE pack_changes ADD COLUMN wish TEXT NOT NULL DEFAULT 'back';  -- back, commit or drop
