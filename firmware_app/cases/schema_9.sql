-- clinical.db, schema 9: what went to exchange.db under which number (store.line_memory).

ALTER TABLE outbox ADD COLUMN seq INTEGER;     -- of the message that carries it; many share one when they were merged
ALTER TABLE outbox ADD COLUMN hash TEXT;       -- of that message's body: only a receipt that names it settles the row
CREATE INDEX outbox_seq ON outbox (seq) WHERE seq IS NOT NULL;

-- One row: how far the numbers have come, and the hospital's newest signed key.
CREATE TABLE line_memory (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    stream     TEXT NOT NULL,
    highest    INTEGER NOT NULL,               -- number given out in this stream
    session    INTEGER NOT NULL,               -- connection seen in this stream
    hospital   TEXT,                           -- whose key: the hospital's Ed25519 key
    keys       BLOB                            -- as it was signed
) STRICT;
