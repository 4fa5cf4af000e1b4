-- Figures, drift and software had a table each; a report of any kind has a row in one table now.
CREATE TABLE latest (
    box        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    week       TEXT NOT NULL,
    stream     TEXT NOT NULL,
    session    INTEGER NOT NULL,
    beat       INTEGER NOT NULL,
    body       TEXT NOT NULL,
    received_at TEXT NOT NULL,
    PRIMARY KEY (box, kind, subject, week)
) STRICT;
INSERT INTO latest SELECT box, 'figures', '', '', stream, session, beat, body, received_at FROM figures;
INSERT INTO latest SELECT box, 'software', '', '', stream, session, beat, body, received_at FROM software;
INSERT INTO latest SELECT box, 'watch', pack || ' ' || machine, week, stream, session, beat, body, received_at FROM watches;
DROP TABLE figures;
DROP TABLE software;
DROP TABLE watches;
