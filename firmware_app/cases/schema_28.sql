-- clinical.db, schema 28: machines that a technician entered, and what came of testing the line to them (store.clinical.modalities).

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
