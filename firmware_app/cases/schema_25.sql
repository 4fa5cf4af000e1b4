-- clinical.db, schema 25: more of each image for the drift watch (statistics.shift); NULL in rows of before, and where not taken.

ALTER TABLE watched ADD COLUMN score REAL;    -- the strongest finding's probability, at the pack's own prevalence
ALTER TABLE watched ADD COLUMN blur REAL;     -- quality measures (imaging.quality.measures)
ALTER TABLE watched ADD COLUMN noise REAL;
ALTER TABLE watched ADD COLUMN pale REAL;
