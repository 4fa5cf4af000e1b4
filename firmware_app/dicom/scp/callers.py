"""Which callers `[dicom]` admits, and a record of those that were rejected and of those that were admitted.

The record keeps the latest `MOST` distinct callers of either kind in one small file under ``run/``, for `lantern
doctor` and the viewer's page of the machines, because a modality shows its technician no more than "failed".  It holds
AE titles and addresses, and nothing of a patient.  It is written at most once a second, so that a caller that tries
without end costs little.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import asdict, replace
from typing import Final

from firmware_app.core import clock, remembered
from firmware_app.core.dicom_callers import ADDRESS as ADDRESS
from firmware_app.core.dicom_callers import APPLICATION as APPLICATION
from firmware_app.core.dicom_callers import LIMIT as LIMIT
from firmware_app.core.dicom_callers import MOST as MOST
from firmware_app.core.dicom_callers import NAME as NAME
from firmware_app.core.dicom_callers import SERVICES as SERVICES
from firmware_app.core.dicom_callers import SYNTAXES as SYNTAXES
from firmware_app.core.dicom_callers import TITLE as TITLE
from firmware_app.core.dicom_callers import WORKLIST as WORKLIST
from firmware_app.core.dicom_callers import Admitted as Admitted
from firmware_app.core.dicom_callers import TurnedAway as TurnedAway
from firmware_app.core.dicom_callers import admits_address as admits_address
from firmware_app.core.dicom_callers import admits_title as admits_title
from firmware_app.core.dicom_callers import admitted as admitted
from firmware_app.core.dicom_callers import known as known
from firmware_app.core.dicom_callers import plain as plain
from firmware_app.core.language import visible
from firmware_app.core.state_dir import StateDir

log = logging.getLogger("lantern.gateway")

_AT_THE_DOOR: Final = (TITLE, ADDRESS, APPLICATION, LIMIT)
_WRITE_S: Final = 1.0
_MOST_NAMES, _LONGEST_NAME = 3, 64


class Book:
    """The record as the gateway writes it.  Safe to share between threads; disk errors are logged, never raised."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._entries = {entry.key: entry for entry in known(state)}
        self._admitted = {(entry.calling, entry.address): entry for entry in admitted(state)}
        self._timer: threading.Timer | None = None

    def note(self, calling: str, called: str, address: str, why: str, names: tuple[str, ...] = ()) -> None:
        """Record that *calling* at *address*, which used the title *called* for this box, was rejected."""
        more = ", …" if len(names) > _MOST_NAMES else ""
        what = ", ".join(visible(name[:_LONGEST_NAME]) for name in names[:_MOST_NAMES]) + more
        new = TurnedAway(visible(calling), visible(called), plain(address), why, what, last=clock.text("seconds"))
        with self._lock:
            before = self._entries.pop(new.key, None)
            if before is None and len(self._entries) >= MOST:
                self._give_up_one()
            self._entries[new.key] = new if before is None else replace(new, count=before.count + 1)
            self._write_soon()

    def admitted(self, calling: str, address: str, lacks_nothing: bool) -> None:
        """Record that the caller was admitted, and remove its entries; those about services only when it
        *lacks_nothing*."""
        key = visible(calling), plain(address)
        with self._lock:
            before = self._admitted.pop(key, None)
            count = before.count + 1 if before is not None else 1
            self._admitted[key] = Admitted(*key, count, clock.text("seconds"))
            if len(self._admitted) > MOST:
                del self._admitted[next(iter(self._admitted))]
            settled = [
                one
                for one, entry in self._entries.items()
                if (entry.calling, entry.address) == key and (lacks_nothing or entry.why in _AT_THE_DOOR)
            ]
            for one in settled:
                del self._entries[one]
            self._write_soon()

    def close(self) -> None:
        """Write what is still unwritten."""
        with self._lock:
            waiting, self._timer = self._timer, None
        if waiting is not None:
            waiting.cancel()
            self._write()

    def _give_up_one(self) -> None:
        """Drop the oldest entry of the address with the most entries, so that one caller cannot push out the others."""
        crowd, _ = Counter(entry.address for entry in self._entries.values()).most_common(1)[0]
        del self._entries[next(key for key, entry in self._entries.items() if entry.address == crowd)]

    def _write_soon(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_WRITE_S, self._due)
            self._timer.daemon = True
            self._timer.start()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
        self._write()

    def _write(self) -> None:
        with self._lock:
            entries = [asdict(entry) for entry in self._entries.values()]
            welcome = [asdict(entry) for entry in self._admitted.values()]
        try:
            remembered.keep(self._state, NAME, {"machines": entries, "admitted": welcome})
        except OSError as error:
            log.warning("the list of rejected callers cannot be written: %s", error.strerror)
