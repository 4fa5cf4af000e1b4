-- exchange.db, schema 2: the clinic's side keeps in clinical.db what went out under which number, and asks nobody here.

DROP TABLE carries;
ALTER TABLE line ADD COLUMN health TEXT NOT NULL DEFAULT '{"faults":[],"packs":[]}';   -- told by the reader's side
