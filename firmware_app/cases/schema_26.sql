-- clinical.db, schema 26: what a doctor drew on a film (store.clinical.drawings).

-- JSON of drawings.Drawing, kept with the word that it was drawn for; NULL: nothing was drawn.
ALTER TABLE remarks ADD COLUMN drawing TEXT;
