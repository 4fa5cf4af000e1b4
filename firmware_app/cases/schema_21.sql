-- clinical.db, schema 21: result objects that viewers may fetch over DICOMweb (store.sending.offered).

-- The objects of the newest version of each case that were offered.
CREATE TABLE offered_results (
    sop_instance_uid TEXT PRIMARY KEY,
    case_reference TEXT NOT NULL,
    study_uid  TEXT NOT NULL,
    series_uid TEXT NOT NULL,
    file       TEXT NOT NULL,                 -- below results/; beside it, ending in .json, the object's metadata
    bytes      INTEGER NOT NULL,              -- of both
    attributes TEXT NOT NULL,                 -- DICOM JSON (PS3.18 F) of what a search matches and tells
    bulk       TEXT NOT NULL,                 -- JSON: tag -> [first byte, bytes, frames] of long values in the file
    sequence   INTEGER NOT NULL               -- the order of making
) STRICT;
CREATE INDEX offered_results_case ON offered_results (case_reference);
CREATE INDEX offered_results_study ON offered_results (study_uid, series_uid);
