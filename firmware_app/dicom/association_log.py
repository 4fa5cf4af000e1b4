"""Which callers of the DICOM port `[dicom]` admits, and the log of those that were rejected and of those admitted.

The log keeps the latest `MOST_CALLERS` distinct callers of either kind in one small file under ``run/``, for `lantern
doctor` and the viewer's page of the devices, because a modality shows its technician no more than "failed".  It holds
AE titles and addresses, and nothing of a patient.  The gateway writes it at most once a second, so that a caller that
tries without end costs little.  The module loads no pydicom.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Final

from firmware_app.core import clock, run_status
from firmware_app.core.language import escape_controls
from firmware_app.core.settings import DicomSection
from firmware_app.core.state_dir import StateDir

MOST_CALLERS: Final = 24
TITLE, ADDRESS, APPLICATION = "association.calling_ae", "association.address", "association.application_context"
LIMIT, SERVICES, SYNTAXES = "association.limit", "association.services", "association.syntaxes"
WORKLIST: Final = "association.worklist"
LOG_NAME: Final = "turned_away"


def admits_title(calling: str, config: DicomSection) -> bool:
    """Whether `allowed_calling` admits this AE title."""
    return not config.allowed_calling or calling in config.allowed_calling


def admits_address(address: str, config: DicomSection) -> bool:
    """Whether `allowed_addresses` admits this address; a single address there is a network of one."""
    networks = [ipaddress.ip_network(text, strict=False) for text in config.allowed_addresses]
    peer = ipaddress.ip_address(plain_address(address))
    return not networks or any(peer.version == network.version and peer in network for network in networks)


def plain_address(address: str) -> str:
    """*address* as a person writes it: without its interface, and an IPv4-mapped IPv6 address as IPv4."""
    peer = ipaddress.ip_address(address.partition("%")[0])
    return str(peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped else peer)


@dataclass(frozen=True, slots=True)
class RejectedCaller:
    """A caller that could not send images, and why; `what` names the services or kinds of image that were refused."""

    calling: str
    called: str
    address: str
    why: str
    what: str = ""
    count: int = 1
    last: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        return self.calling, self.called, self.address, self.why, self.what


@dataclass(frozen=True, slots=True)
class AdmittedCaller:
    """A caller that was admitted, how often and when last."""

    calling: str
    address: str
    count: int = 1
    last: str = ""


def read_rejected(state: StateDir) -> list[RejectedCaller]:
    """The recorded callers, the oldest first; empty where the record cannot be read."""
    try:
        entries = [RejectedCaller(**entry) for entry in run_status.read_check_result(state, LOG_NAME)["machines"]]
        for entry in entries:
            clock.parse_stamp(entry.last)
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return entries[-MOST_CALLERS:]


def read_admitted(state: StateDir) -> list[AdmittedCaller]:
    """The callers that were admitted, the oldest first; empty where the record cannot be read."""
    try:
        entries = [AdmittedCaller(**entry) for entry in run_status.read_check_result(state, LOG_NAME)["admitted"]]
        for entry in entries:
            clock.parse_stamp(entry.last)
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return entries[-MOST_CALLERS:]


log = logging.getLogger("lantern.gateway")

_AT_THE_DOOR: Final = (TITLE, ADDRESS, APPLICATION, LIMIT)
_WRITE_S: Final = 1.0
_MOST_NAMES, _LONGEST_NAME = 3, 64


class AssociationLog:
    """The record as the gateway writes it.  Safe to share between threads; disk errors are logged, never raised."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._entries = {entry.key: entry for entry in read_rejected(state)}
        self._admitted = {(entry.calling, entry.address): entry for entry in read_admitted(state)}
        self._timer: threading.Timer | None = None

    def record_rejection(self, calling: str, called: str, address: str, why: str, names: tuple[str, ...] = ()) -> None:
        """Record that *calling* at *address*, which used the title *called* for this box, was rejected."""
        more = ", …" if len(names) > _MOST_NAMES else ""
        what = ", ".join(escape_controls(name[:_LONGEST_NAME]) for name in names[:_MOST_NAMES]) + more
        new = RejectedCaller(
            escape_controls(calling),
            escape_controls(called),
            plain_address(address),
            why,
            what,
            last=clock.stamp_text("seconds"),
        )
        with self._lock:
            before = self._entries.pop(new.key, None)
            if before is None and len(self._entries) >= MOST_CALLERS:
                self._drop_oldest()
            self._entries[new.key] = new if before is None else replace(new, count=before.count + 1)
            self._write_soon()

    def record_admission(self, calling: str, address: str, lacks_nothing: bool) -> None:
        """Record that the caller was admitted, and remove its entries; those about services only when it
        *lacks_nothing*."""
        key = escape_controls(calling), plain_address(address)
        with self._lock:
            before = self._admitted.pop(key, None)
            count = before.count + 1 if before is not None else 1
            self._admitted[key] = AdmittedCaller(*key, count, clock.stamp_text("seconds"))
            if len(self._admitted) > MOST_CALLERS:
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

    def _drop_oldest(self) -> None:
        """Drop the oldest entry of the address with the most entries, so that one caller cannot push out the others."""
        crowd, _ = Counter(entry.address for entry in self._entries.values()).most_common(1)[0]
        del self._entries[next(key for key, entry in self._entries.items() if entry.address == crowd)]

    def _write_soon(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_WRITE_S, self._on_timer)
            self._timer.daemon = True
            self._timer.start()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
        self._write()

    def _write(self) -> None:
        with self._lock:
            entries = [asdict(entry) for entry in self._entries.values()]
            welcome = [asdict(entry) for entry in self._admitted.values()]
        try:
            run_status.write_check_result(self._state, LOG_NAME, {"machines": entries, "admitted": welcome})
        except OSError as error:
            log.warning("the list of rejected callers cannot be written: %s", error.strerror)
