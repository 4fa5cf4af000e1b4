-- clinical.db, schema 16: a version that a doctor has signed stays as it is (store.result_versions).

-- A digest of what was signed; NULL where nobody has.  As long as it holds, a new name, language or software of the box
-- makes no new version.
ALTER TABLE result_versions ADD COLUMN signed_state TEXT;
-- JSON: the box's name, language and software when the version was made.
ALTER TABLE result_versions ADD COLUMN maker TEXT;
