-- clinical.db, schema 35: thresholds that follow the scores of a machine's first films (store.calibration.machine_scores).

-- The log odds of the first films of a machine, set down anew as more come, until a person goes back to the pack's own
-- threshold; the last row counts.
CREATE TABLE machine_scores (
    sequence   INTEGER PRIMARY KEY,
    pack       TEXT NOT NULL,
    version    TEXT NOT NULL,
    machine    TEXT NOT NULL,
    finding    TEXT NOT NULL,
    event      TEXT NOT NULL CHECK (event IN ('set', 'undone')),
    films      INTEGER NOT NULL,              -- 0 where undone, as the next two
    mean       REAL NOT NULL,
    spread     REAL NOT NULL,                 -- standard deviation
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX machine_scores_of_pack ON machine_scores (pack, version, machine, finding, sequence);
