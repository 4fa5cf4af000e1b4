-- clinical.db, schema 6: cases that were deleted to make room (store.clearing).

-- A case that comes again goes on behind the revision that the hospital may know.
CREATE TABLE retired (
    case_reference TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    arrivals   INTEGER NOT NULL,              -- lines that left the journal with it
    superseded INTEGER NOT NULL,              -- readings that left with it
    at         TEXT NOT NULL                  -- when it was deleted last
) STRICT;

-- Files and folders of deleted cases that are still on the disk: nobody's from now on, whoever is killed when.
CREATE TABLE leaving (
    name       TEXT PRIMARY KEY,              -- below the state directory
    case_reference TEXT NOT NULL,
    bytes      INTEGER NOT NULL
) STRICT;
