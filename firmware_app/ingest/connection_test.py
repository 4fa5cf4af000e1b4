"""The line to a machine, tested by a C-ECHO because a person on the page asked for it.

The page's own process may dial nothing, so it leaves a row, and the gateway sends the C-ECHO.  It runs in a thread of
its own; a machine that never answers costs seconds of that thread and nothing else.
"""

from __future__ import annotations

import errno
import logging
import socket
import sqlite3
import threading
from typing import Final

from firmware_app.cases.errors import DeviceError
from firmware_app.cases.imaging_devices import Modalities, Modality
from firmware_app.core.database import Database
from firmware_app.core.language import N_, register
from firmware_app.core.peer_sections import PeerSection
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.dicom import sop_classes
from firmware_app.dicom.errors import (
    PacsBusy,
    PacsCalledUnknown,
    PacsCallingUnknown,
    PacsError,
    PacsKindRefused,
    PacsNoEcho,
    PacsRejected,
    PacsUnreachable,
)
from firmware_app.dicom.peers import Peer
from firmware_app.ingest.errors import (
    MACHINE_ABSENT,
    MACHINE_BUSY,
    MACHINE_CALLED_UNKNOWN,
    MACHINE_CALLING_UNKNOWN,
    MACHINE_CLOSED,
    MACHINE_NAME_UNKNOWN,
    MACHINE_NO_DICOM,
    MACHINE_NO_ECHO,
    MACHINE_REJECTED,
    MACHINE_UNDIALLED,
)

log = logging.getLogger("lantern.gateway")

ANSWERS: Final = register("modality.answers", N_("The machine {title} answers: the line works (C-ECHO)."))
TIMEOUT_S: Final = 4.0
_LOOK_S: Final = 0.25
_STOP_S: Final = 2.0
_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})


class ConnectionTests:
    """Tests the lines that people have asked for, from `start` to `stop`."""

    def __init__(self, config: Config, database: Database) -> None:
        self._config, self._database = config, database
        self._machines = Modalities(database)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no further test; one that is under way is done again after the next start."""
        self._stop.set()
        self._thread.join(_STOP_S)

    def run_pending(self) -> None:
        """Test all that is asked for now."""
        for machine in self._machines.list_requested():
            if self._stop.is_set():
                return
            try:
                send_echo(self._peer(machine))
            except DeviceError as error:
                log.info("a machine does not answer a C-ECHO: %s", error.code)
                self._machines.record_test(machine.sequence, Reason.from_error(error), reached=False)
            else:
                said = Reason(ANSWERS, {"title": machine.place.title})
                self._machines.record_test(machine.sequence, said, reached=True)

    def _peer(self, machine: Modality) -> Peer:
        place = machine.place
        settings = PeerSection(host=place.host, port=place.port, ae_title=place.title)
        return Peer("", settings, self._config.dicom.ae_title)

    def _run(self) -> None:
        seen = None
        try:
            while not self._stop.is_set():
                mark = self._database.read_change_mark()
                if mark != seen:
                    seen = mark
                    self._try_pending()
                self._stop.wait(_LOOK_S)
        finally:
            self._database.close_thread()

    def _try_pending(self) -> None:
        try:
            self.run_pending()
        except sqlite3.Error as error:
            log.error("tests of lines wait: %s", getattr(error, "sqlite_errorname", "error"))


def send_echo(peer: Peer) -> None:
    """Send a C-ECHO (PS3.4 A); on return it was answered.  Raises the `DeviceError` that says why not."""
    from firmware_app.dicom import storage_scu  # with all of pynetdicom: most gateways never need it

    at = peer.settings
    try:
        with storage_scu.dial_archive(
            peer, [sop_classes.VERIFICATION], patience_s=TIMEOUT_S, answer_s=TIMEOUT_S
        ) as machine:
            machine.echo()
    except (PacsNoEcho, PacsKindRefused):
        raise MACHINE_NO_ECHO() from None
    except PacsCallingUnknown:
        raise MACHINE_CALLING_UNKNOWN(own=peer.own_title) from None
    except PacsCalledUnknown:
        raise MACHINE_CALLED_UNKNOWN(title=peer.title) from None
    except PacsBusy:
        raise MACHINE_BUSY() from None
    except PacsRejected as error:
        raise MACHINE_REJECTED(numbers=error.numbers) from None
    except PacsUnreachable:
        raise _explain_no_connection(at) from None
    except (PacsError, RuntimeError, ValueError):  # pynetdicom's: the association is gone
        raise MACHINE_NO_DICOM(host=at.host, port=at.port) from None


def _explain_no_connection(at: PeerSection) -> DeviceError:
    """Why there is no connection, by trying once more: an archive's error has only the system's English for it."""
    try:
        with socket.create_connection((at.host, at.port), TIMEOUT_S / 2):
            return MACHINE_NO_DICOM(host=at.host, port=at.port)
    except socket.gaierror:
        return MACHINE_NAME_UNKNOWN(host=at.host)
    except ConnectionRefusedError:
        return MACHINE_CLOSED(host=at.host, port=at.port)
    except OSError as error:
        return MACHINE_UNDIALLED(host=at.host) if error.errno in _FORBIDDEN else MACHINE_ABSENT(host=at.host)
