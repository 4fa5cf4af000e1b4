-- clinical.db, schema 33: versions of packs that do worse here than their card says (store.calibration.falls).

CREATE TABLE clinical_falls (
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    measure    TEXT NOT NULL,                 -- sensitivity or specificity
    films      INTEGER NOT NULL,              -- confirmed ones after which it was seen
    at         TEXT NOT NULL,
    noted      INTEGER NOT NULL DEFAULT 0,    -- 1: a person has seen it
    PRIMARY KEY (pack, version)
) STRICT, WITHOUT ROWID;
