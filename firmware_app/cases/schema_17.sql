-- clinical.db, schema 17: why a case's result objects could not be made (store.sending).

ALTER TABLE results_due ADD COLUMN reason TEXT;   -- JSON of records.Reason; the next try comes by itself
