"""The frames in between of a long clip, written for people while nothing waits to be read.

With its reading a clip gets `display.MOST_FRAMES` frames of full depth.  The others come here, as light pictures, a
third of a second's work at a time: an image that arrives meanwhile waits for no more than that.  A disk that takes none
is asked again a minute later: the clip is whole when there is room.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from firmware_app.cases.clinical_db import Clinical
from firmware_app.core.children.child import ChildLost
from firmware_app.core.state_dir import StateDir
from firmware_app.imaging.display import MOST_FRAMES
from firmware_app.reading.children.decoder import Decoder

_PAUSE_S: Final = 60.0

log = logging.getLogger("lantern.reader")


class WholeClips:
    """The long clips of one box; the rows are written by the reader and by nobody else."""

    def __init__(self, state: StateDir, clinical: Clinical, decoder: Decoder) -> None:
        self._state, self._clinical, self._decoder = state, clinical, decoder
        self._none = False
        self._pause_until = 0.0

    def note(self, instance: str, frames: int) -> None:
        """Before the reading of *instance* is kept: its frames in between are to be written afterwards."""
        if frames > MOST_FRAMES:
            self._clinical.database.connection.execute(
                "INSERT OR REPLACE INTO long_clips (instance) VALUES (?)", (instance,)
            )
            self._none = False

    def step(self) -> bool:
        """Write some frames; False when there is no clip to write any of, or no room.  Raises `ChildWillNotStart`."""
        if self._none or time.monotonic() < self._pause_until:
            return False
        connection = self._clinical.database.connection
        row = connection.execute(
            "SELECT l.instance, l.next, i.file, i.header IS NULL AS picture FROM long_clips l"
            " JOIN instances i ON i.reference = l.instance ORDER BY i.sequence DESC LIMIT 1"
        ).fetchone()
        if row is None:
            self._none = True
            return False
        folder = self._state.display / row["instance"]
        try:
            going = self._decoder.fill(self._state.root / row["file"], bool(row["picture"]), folder, row["next"])
        except ChildLost as lost:
            log.warning("the decode child was lost over the frames in between of a clip (%s)", lost.detail)
            going = None
        if going is None:  # done, or it never will be
            connection.execute("DELETE FROM long_clips WHERE instance = ?", (row["instance"],))
        elif going == row["next"]:
            log.warning("the disk takes no frames in between of a clip; they are tried again")
            self._pause_until = time.monotonic() + _PAUSE_S
            return False
        else:
            connection.execute("UPDATE long_clips SET next = ? WHERE instance = ?", (going, row["instance"]))
        return True
