"""The DICOM port of one box: which peers are admitted, how many at once, and the door that their images go to."""

from __future__ import annotations

import logging
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

from firmware_app.core.errors import NotKept, SpaceShort
from firmware_app.core.settings import Config
from firmware_app.dicom.scp import transport
from firmware_app.dicom.scp.association import Association, PlaceCalls
from firmware_app.dicom.scp.callers import Book
from firmware_app.dicom.scp.commitment_provider import CommitmentProvider
from firmware_app.dicom.scp.places import Holder, Places
from firmware_app.dicom.scp.worklist_provider import WaitingEntries, WorklistProvider
from firmware_app.dicom.spool import empty_incoming
from firmware_app.dicom.storage import CommitmentRecords, ImageDoor

log = logging.getLogger("lantern.gateway")

# pynetdicom and pydicom log what they decode: UIDs, titles, sometimes names.  None of that belongs in our log.
for _loud in ("pynetdicom", "pydicom"):
    logging.getLogger(_loud).setLevel(logging.CRITICAL + 1)


class DicomPort:
    """Listens as `[dicom]` says and gives every image to *door*.

    *commitments* records storage commitment; *waiting* lists the registered patients for the worklist.
    """

    def __init__(
        self, config: Config, door: ImageDoor, commitments: CommitmentRecords, waiting: WaitingEntries
    ) -> None:
        self._config = config.dicom
        self._door = door
        self._places = Places(config.dicom.max_associations)
        self._transport: transport.Transport | None = None
        self._turned_away = Book(door.state)
        self._commitments = CommitmentProvider(config, door.state, commitments)
        self._worklist = WorklistProvider(config.worklist, config.box.language, waiting)

    def start(self, on_end: Callable[[], None] = lambda: None) -> int:
        """Start to listen; returns the port.  *on_end* is called when the port is closed, by `stop` or by a fault.

        Raises `PortTaken`, `PortUnusable` or `TlsUnusable`."""
        tls = transport.tls_context(self._config)
        listener = transport.listen(self._config.host, self._config.port)
        # Holding the port, this is the only gateway of the state: first tidy up after one that was killed.
        empty_incoming(self._door.state.incoming)
        self._door.clinical.close_all_associations()
        self._commitments.forget()
        self._transport = transport.Transport(listener, tls, self._serve, on_end, self._tell_dates)
        self._transport.start()
        threading.Thread(target=self._make_folders, name="folders", daemon=True).start()
        return self._transport.port

    def listens(self) -> bool:
        """Whether the thread that accepts associations is alive."""
        return self._transport is not None and self._transport.turns()

    def stop(self) -> None:
        """Accept no more; what was acknowledged is kept."""
        if self._transport is not None:
            self._transport.stop()
            self._transport = None
        self._turned_away.close()

    def _make_folders(self) -> None:
        """Runs while the port is open: an image that arrives sooner makes its own folder durable."""
        with suppress(SpaceShort, NotKept):  # on a full disk each sender is refused with that reason
            self._door.make_folders()

    def _serve(self, connection: socket.socket, address: str, deadline: float) -> None:
        places = PlaceCalls(take=self._take_place, give=self._give_place)
        Association(
            connection,
            address,
            self._config,
            self._door,
            places,
            self._turned_away,
            self._worklist,
            self._commitments,
            deadline,
        ).serve()

    def _tell_dates(self, error: ssl.SSLCertVerificationError, address: str) -> None:
        """Journal a peer whose certificate is out of date: TLS tells the peer only "no", so the box must say why."""
        from firmware_app.dicom.scp import tls_dates  # a port without TLS does not load it

        refusal = tls_dates.refusal(error, address)
        if refusal is not None:
            log.warning("%s", refusal)
            try:
                self._door.clinical.record_refusal(f"dicom:{address}", refusal)
            except sqlite3.Error as failure:
                log.warning("the refusal cannot be journalled: %s", failure)
            finally:
                self._door.clinical.database.close_thread()

    def _take_place(self, association: Holder) -> bool:
        if not self._places.take(association):
            return False
        if self._transport is not None:
            self._transport.opened()
        return True

    def _give_place(self, association: Holder) -> None:
        self._places.give(association)
        if self._transport is not None:
            self._transport.closing()
