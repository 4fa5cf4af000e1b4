"""The port where boxes without a certificate arrive: passes their bytes to the enrolment broker, and shares out room.

    python -m hospital.enrolment_front PORT ADDRESS BROKER_PORT

`serve` runs it, with a pipe as its standard input; it ends with that, and goes on for ever with /dev/null.

mosquitto counts connections for everybody together, so whoever opened two hundred and was silent shut out all others.
Here a new connection is always let in: where there is no room, another one gives way, of the address that has the most
the one that was silent for the longest.  TLS stays between box and broker; what passes is not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

MOST_CONNECTIONS: Final = 150
"""Connections in all: fewer than the broker's `max_connections`, so that the receiver finds room there."""
MOST_CONNECTIONS_OF_AN_ADDRESS: Final = 16
"""Several boxes may stand behind one."""
FIRST_S: Final = 10.0
"""So long may a connection be silent at its beginning."""
SILENT_S: Final = 75.0
"""And so long later: a box asks every 30 seconds."""
LONGEST_S: Final = 900.0
"""So long may it last: a box that is not answered by then comes again."""
_LOOK_S: Final = 1.0
_PIECE: Final = 16_384
_IPV6_PREFIX: Final = 64
_BROKER: Final = "127.0.0.1"


@dataclass(eq=False, slots=True)
class FrontConnection:
    """One connection.  Times are monotonic, in seconds."""

    address: str
    writers: list[asyncio.StreamWriter]
    since: float
    heard: float
    spoke: bool = False

    def end(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    def is_over(self, now: float) -> bool:
        """Whether it was silent for too long, or has lasted for too long."""
        return now - self.heard > (SILENT_S if self.spoke else FIRST_S) or now - self.since > LONGEST_S


def choose_connection_to_end(visits: Iterable[FrontConnection], fresh: str) -> FrontConnection | None:
    """Who gives way to a new connection of the address *fresh*; None where there is room."""
    of: dict[str, list[FrontConnection]] = {}
    for front_connection in visits:
        of.setdefault(front_connection.address, []).append(front_connection)
    if len(of.get(fresh, ())) >= MOST_CONNECTIONS_OF_AN_ADDRESS:
        return min(of[fresh], key=lambda one: one.heard)
    if sum(map(len, of.values())) < MOST_CONNECTIONS:
        return None
    crowd = max(of.values(), key=len)
    return min(crowd, key=lambda one: one.heard)


@dataclass(slots=True)
class EnrolmentFront:
    """Takes connections and passes their bytes on to the broker at *port* of this machine."""

    port: int
    visits: set[FrontConnection] = field(default_factory=set)

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        name = writer.get_extra_info("peername")
        now = time.monotonic()
        visit = FrontConnection(group_address(name[0] if name else ""), [writer], now, now)
        if (other := choose_connection_to_end(self.visits, visit.address)) is not None:
            self.visits.discard(other)
            other.end()
        self.visits.add(visit)
        try:
            there, their = await asyncio.open_connection(_BROKER, self.port)
            visit.writers.append(their)
            if visit not in self.visits:  # it gave way meanwhile
                return
            await asyncio.wait(
                [asyncio.create_task(_pass_on(reader, their, visit)), asyncio.create_task(_pass_on(there, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except OSError:  # the broker is not there, and the box comes again
            pass
        finally:
            self.visits.discard(visit)
            visit.end()

    async def watch(self) -> None:
        """End the connections that are over, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            for visit in [visit for visit in self.visits if visit.is_over(now)]:
                visit.end()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, visit: FrontConnection | None = None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            if visit is not None:
                visit.heard, visit.spoke = time.monotonic(), True
            writer.write(data)
            await writer.drain()


def group_address(address: str) -> str:
    """What a connection from *address* is counted under: of IPv6 the /64, since one machine may have all of it."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(given, ipaddress.IPv4Address):
        return str(given)
    if given.ipv4_mapped is not None:
        return str(given.ipv4_mapped)
    return str(ipaddress.ip_network((int(given), _IPV6_PREFIX), strict=False))


async def serve(port: int, address: str, broker: int) -> None:
    """Listen until standard input ends.  Raises OSError where it cannot."""
    front = EnrolmentFront(broker)
    over = asyncio.Event()

    def hear_parent() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            over.set()

    with contextlib.suppress(PermissionError):  # /dev/null, which has no end to wait for
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), hear_parent)
    async with await asyncio.start_server(front.serve_connection, address or None, port, backlog=512):
        watching = asyncio.create_task(front.watch())
        await over.wait()
        watching.cancel()
        for visit in list(front.visits):
            visit.end()


def main() -> int:
    """Entry point: 0 when told to end, 1 where it cannot listen."""
    port, address, broker = sys.argv[1:]
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # strangers make no log of any length
    try:
        asyncio.run(serve(int(port), address, int(broker)))
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
