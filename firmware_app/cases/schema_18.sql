-- clinical.db, schema 18: since which version a case's pictures are the same (store.result_versions).

-- A digest of what marked pictures, segmentations and presentation states show: a doctor's word changes the report only.
ALTER TABLE result_versions ADD COLUMN drawn TEXT;
ALTER TABLE result_versions ADD COLUMN drawn_version INTEGER;
