-- clinical.db, schema 7: what came on a stick, and whether all of it was copied (store.media).

-- The imports whose every image belongs to a stick that was met to its end, by them or by a later one.  An import that
-- has no row here, for whatever reason, leaves its cases marked incomplete: a lost row marks too much, never too little.
CREATE TABLE whole (
    association INTEGER PRIMARY KEY            -- of associations whose source is 'usb'
) STRICT;

-- Images that the list on a stick (DICOMDIR) names in a case and that were not on the stick.
CREATE TABLE listed_more (
    case_reference TEXT PRIMARY KEY,
    count      INTEGER NOT NULL
) STRICT;

CREATE INDEX instances_association ON instances (association) WHERE association IS NOT NULL;
