-- An index for each question of the page and of the list, when each box was heard, and the receiver's own status.

CREATE INDEX cases_urgent ON cases (box, received_at) WHERE priority = 'urgent';
CREATE INDEX cases_of_box ON cases (box, received_at);
CREATE INDEX aside_last ON aside (last_at);

-- One row for each box that was ever heard.
CREATE TABLE heard (
    box        TEXT PRIMARY KEY,
    at         TEXT NOT NULL,                 -- its last new message, whatever its kind
    said_at    TEXT,                          -- its last new word on itself,
    stream     TEXT,                          -- and the stream whose row in `presence` has it
    gone       INTEGER NOT NULL,              -- 1 when that word was a goodbye and nothing came after it
    older_at   TEXT                           -- when it last said something older than that word
) STRICT, WITHOUT ROWID;

INSERT INTO heard (box, at, said_at, stream, gone)
    SELECT box, MAX(received_at), received_at, stream, json_extract(body, '$.state') = 'death'
    FROM presence GROUP BY box;
INSERT INTO heard (box, at, gone)
    SELECT box, MAX(received_at), 0 FROM messages WHERE true GROUP BY box
    ON CONFLICT (box) DO UPDATE SET at = MAX(at, excluded.at), gone = gone AND at >= excluded.at;

-- How the receiver stands with the broker; one row, written every few seconds while it runs.
CREATE TABLE receiver (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    written_at TEXT NOT NULL,
    since      TEXT,                          -- since when it is connected; NULL when it is not
    heard_at   TEXT,                          -- when the broker last sent anything, answers to keep-alives included
    error      TEXT                           -- why the line last ended or was not opened
) STRICT;
