"""Which callers of the DICOM port `[dicom]` admits, and the record of them as it lies under ``run/``.

The gateway writes it (`dicom.scp.callers`); `lantern doctor` and the viewer's page of the machines read it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from firmware_app.core import clock, remembered
from firmware_app.core.settings import DicomSection
from firmware_app.core.state_dir import StateDir

MOST: Final = 24
TITLE, ADDRESS, APPLICATION = "association.calling_ae", "association.address", "association.application_context"
LIMIT, SERVICES, SYNTAXES = "association.limit", "association.services", "association.syntaxes"
WORKLIST: Final = "association.worklist"
NAME: Final = "turned_away"


def admits_title(calling: str, config: DicomSection) -> bool:
    """Whether `allowed_calling` admits this AE title."""
    return not config.allowed_calling or calling in config.allowed_calling


def admits_address(address: str, config: DicomSection) -> bool:
    """Whether `allowed_addresses` admits this address; a single address there is a network of one."""
    networks = [ipaddress.ip_network(text, strict=False) for text in config.allowed_addresses]
    peer = ipaddress.ip_address(plain(address))
    return not networks or any(peer.version == network.version and peer in network for network in networks)


def plain(address: str) -> str:
    """*address* as a person writes it: without its interface, and an IPv4-mapped IPv6 address as IPv4."""
    peer = ipaddress.ip_address(address.partition("%")[0])
    return str(peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped else peer)


@dataclass(frozen=True, slots=True)
class TurnedAway:
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
class Admitted:
    """A caller that was admitted, how often and when last."""

    calling: str
    address: str
    count: int = 1
    last: str = ""


def known(state: StateDir) -> list[TurnedAway]:
    """The recorded callers, the oldest first; empty where the record cannot be read."""
    try:
        entries = [TurnedAway(**entry) for entry in remembered.known(state, NAME)["machines"]]
        for entry in entries:
            clock.parse(entry.last)
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return entries[-MOST:]


def admitted(state: StateDir) -> list[Admitted]:
    """The callers that were admitted, the oldest first; empty where the record cannot be read."""
    try:
        entries = [Admitted(**entry) for entry in remembered.known(state, NAME)["admitted"]]
        for entry in entries:
            clock.parse(entry.last)
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return entries[-MOST:]
