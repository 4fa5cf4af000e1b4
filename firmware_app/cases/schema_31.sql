-- clinical.db, schema 31: long clips of which the frames in between are still to be written for people (reading.whole_clips).

CREATE TABLE long_clips (
    instance   TEXT PRIMARY KEY REFERENCES instances (reference) ON DELETE CASCADE,
    next       INTEGER NOT NULL DEFAULT 0     -- the first frame that was not looked at
) STRICT, WITHOUT ROWID;
