-- clinical.db, schema 30: roll-backs of packs that a person asked for on the page (store.clinical.pack_changes).

CREATE TABLE pack_changes (
    pack       TEXT PRIMARY KEY,
    version    TEXT NOT NULL,                 -- the installed one that is to be left; another in use: it was done
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    asked      INTEGER NOT NULL DEFAULT 1,    -- 1: the reader is to do it
    reason     TEXT                           -- JSON of records.Reason: why it could not
) STRICT, WITHOUT ROWID;
