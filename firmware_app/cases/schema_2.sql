-- clinical.db, schema 2: what the hospital must still hear of.

-- Written in the transaction that closes the revision; deleted when the hospital's signed receipt has come.
CREATE TABLE outbox (
    case_reference TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    urgent     INTEGER NOT NULL,
    body       TEXT NOT NULL,                 -- JSON of uplink.summary.Brief
    relayed    INTEGER NOT NULL DEFAULT 0,    -- 1: exchange.db has it
    PRIMARY KEY (case_reference, revision)
) STRICT;
CREATE INDEX outbox_next ON outbox (urgent) WHERE relayed = 0;
