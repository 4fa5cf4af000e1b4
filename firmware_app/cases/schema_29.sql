-- clinical.db, schema 29: when the hospital signed for a case (store.exchange.outbox writes, reports.hospital_answer reads).

CREATE TABLE hospital_receipts (
    case_reference TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,              -- the newest that was signed for
    at         TEXT NOT NULL                  -- the hospital's clock in its signed receipt; where it doubts it, the box's
) STRICT, WITHOUT ROWID;
