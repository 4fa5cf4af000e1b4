"""Whoever attacks the DICOM port with time, memory or numbers, the image of a modality beside them is kept in 5 s.

After every attack the gateway must also be as small as before, with nothing half-received on the disk.
"""

from __future__ import annotations

import itertools
import secrets
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack

import psutil
import pytest

from tests.objects import EXPLICIT, file_of, film, new_uid
from tests.peers import peer
from tests.small_disk import small_disk
from tests.wire.gateways import Running, process
from tests.wire.raw import VERIFICATION, Closed, RawClient, association_request, connect_from
from tests.wire.test_store import eventually, open_associations

pytestmark = pytest.mark.alone

CT = "1.2.840.10008.5.1.4.1.1.2"
STORE = [(CT, [EXPLICIT])]
PLACES = 16  # [dicom] max_associations as it comes
STORE_SECONDS = 5.0
# 16 associations and 64 that may become one hold a buffer of 256 kB and a request of as much, and a thread each.
GROWTH_MB = 64


@dataclass
class Attacked:
    """A gateway in a process of its own that is under attack."""

    gateway: Running
    folder: Path
    host: str = "127.0.0.1"
    storescu: list[str] = field(default_factory=list)
    strangers: Iterator[str] = field(default_factory=lambda: itertools.cycle(("127.0.0.66", "127.0.0.67")))
    """The attackers have two addresses, for one gets no more than half of the places."""

    @property
    def process(self) -> psutil.Process:
        assert self.gateway.process is not None
        return psutil.Process(self.gateway.process.pid)

    def connect(self) -> socket.socket:
        """A connection of an attacker."""
        return connect_from(next(self.strangers), self.gateway.port)

    def associate(self) -> RawClient:
        """An association of an attacker."""
        return RawClient(0, STORE, connection=self.connect())

    def store(self) -> None:
        """What must succeed whatever else goes on: dcmtk's storescu stores one image, in time."""
        instance = new_uid()
        path = self.folder / f"{secrets.token_hex(8)}.dcm"
        path.write_bytes(
            file_of(film(sop_class=CT, sop_instance=instance, rows=256, columns=256), EXPLICIT, CT, instance)
        )
        command = [peer("storescu"), "-v", *self.storescu, self.host, str(self.gateway.port), str(path)]
        before = time.monotonic()
        sent = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert sent.returncode == 0, sent.stderr
        assert time.monotonic() - before < STORE_SECONDS

    def peak_mb(self) -> float:
        """The most memory (resident set) that the gateway ever had."""
        [line] = [line for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if "VmHWM" in line]
        return int(line.split()[1]) / 1024


@contextmanager
def under_attack(folder: Path, *, host: str = "127.0.0.1", **dicom: object) -> Iterator[Attacked]:
    """A gateway to attack; afterwards it must be whole, small and empty-handed."""
    with process(folder / "state", dicom={"host": host, **dicom}) as gateway:
        attacked = Attacked(gateway, folder, host)
        if "tls_cert" in dicom:
            attacked.storescu = ["+tla", "+cf", str(dicom["tls_cert"])]
        attacked.store()
        before_mb, threads, files = attacked.peak_mb(), attacked.process.num_threads(), attacked.process.num_fds()
        yield attacked
        attacked.store()
        eventually(lambda: gateway.incoming() == [] and open_associations(gateway) == 0)
        eventually(lambda: attacked.process.num_threads() <= threads)
        # SQLite keeps the descriptors of closed connections for the next ones, so up to one for each place.
        eventually(lambda: attacked.process.num_fds() <= files + PLACES)
        assert attacked.peak_mb() - before_mb < GROWTH_MB
        assert gateway.files()


@contextmanager
def meanwhile(attack: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run *attack* in a thread of its own until the block ends; peers that are thrown out are part of it."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with suppress(OSError, Closed):
                attack(over)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def drip(connections: list[socket.socket], byte: bytes = b"\0") -> Callable[[threading.Event], None]:
    """One byte on each connection twenty times a second."""

    def attack(over: threading.Event) -> None:
        for connection in connections:
            with suppress(OSError):
                connection.send(byte)
        over.wait(0.05)

    return attack


def begin_object(client: RawClient, count: int = 100_000) -> None:
    client.begin_store(CT, new_uid())
    client.send_fragments(1, bytes(count), command=False, size=16000, last=False)


# --- slow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["in the middle of an object", "between two messages"])
def test_associations_that_drip_in_every_place_keep_nobody_out(tmp_path: Path, where: str) -> None:
    with under_attack(tmp_path) as attacked, ExitStack() as stack:
        clients = [stack.enter_context(attacked.associate()) for _ in range(PLACES)]
        for client in clients:
            if where == "in the middle of an object":
                begin_object(client)

        def fragment(over: threading.Event) -> None:
            for client in clients:
                with suppress(OSError):
                    client.send_fragments(1, b"\0", command=False, size=1, last=False)
            over.wait(0.05)

        with meanwhile(
            fragment if where == "in the middle of an object" else drip([client.socket for client in clients], b"\4")
        ):
            attacked.store()


def test_peers_that_stop_reading_their_answers_keep_nobody_out(tmp_path: Path) -> None:
    with under_attack(tmp_path, max_associations=4) as attacked, ExitStack() as stack:
        deaf: list[RawClient] = []
        for _ in range(4):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.bind((next(attacked.strangers), 0))
            plain.connect(("127.0.0.1", attacked.gateway.port))
            deaf.append(stack.enter_context(RawClient(attacked.gateway.port, connection=plain)))
            plain.settimeout(1)
        echo = deaf[0].command(0x0030, VERIFICATION)
        echoes = (pack(">BxLLBB", 4, len(echo) + 6, len(echo) + 2, 1, 3) + echo) * 200
        stuck = threading.Barrier(len(deaf) + 1)

        def ask_on(client: RawClient) -> None:
            with suppress(OSError):  # a second in which nothing more is taken: its answers have filled every buffer
                while True:
                    client.socket.sendall(echoes)
            stuck.wait(60)

        for client in deaf:
            threading.Thread(target=ask_on, args=(client,)).start()
        stuck.wait(60)
        attacked.store()


# --- large --------------------------------------------------------------------------------------------------------


def test_lengths_of_four_gigabytes_cost_no_memory(tmp_path: Path) -> None:
    def attack(over: threading.Event) -> None:
        for kind in (1, 2, 4, 5, 7):
            with attacked.connect() as connection:
                connection.sendall(pack(">BxL", kind, 0xFFFFFFFF) + bytes(500_000))
            with attacked.associate() as client:
                client.socket.sendall(pack(">BxL", kind, 0xFFFFFFFF) + bytes(500_000))

    with under_attack(tmp_path) as attacked, ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(meanwhile(attack))
        for _ in range(3):
            attacked.store()


def test_endless_objects_leave_room_for_a_modality(tmp_path: Path) -> None:
    peers, each_bytes = 8, 37_700_000  # together they leave less than the reserve of 16 MB
    pushed: list[int] = []

    def attack(over: threading.Event) -> None:
        with attacked.associate() as client:
            begin_object(client, each_bytes)
            pushed.append(each_bytes)
            over.wait()  # and never an end

    with small_disk(tmp_path / "disk", "size=300m") as disk, under_attack(disk) as attacked, ExitStack() as stack:
        for _ in range(peers):
            stack.enter_context(meanwhile(attack))
        eventually(lambda: len(pushed) >= peers)
        attacked.store()


def test_endless_empty_fragments_are_ended(tmp_path: Path) -> None:
    empty = pack(">LBB", 2, 1, 0) * 10_000
    flood = pack(">BxL", 4, len(empty)) + empty
    with under_attack(tmp_path) as attacked, ExitStack() as stack:
        clients = [stack.enter_context(attacked.associate()) for _ in range(4)]
        for client in clients:
            client.begin_store(CT, new_uid())
            client.socket.sendall(flood * 2)
        attacked.store()
        assert [client.read()[0] for client in clients] == [7] * len(clients)


# --- many ---------------------------------------------------------------------------------------------------------


def test_thousands_of_associations_opened_and_dropped_at_once_keep_nobody_out(tmp_path: Path) -> None:
    request = association_request(STORE)
    abort = pack(">BxLxxBB", 7, 4, 0, 0)
    openings = (b"", request[:50], request, request + abort, abort)
    opened = [0]

    def attack(over: threading.Event) -> None:
        for number, opening in enumerate(openings):
            with attacked.connect() as connection:
                connection.sendall(opening)
                if number % 2:  # gone with a reset instead of a farewell
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        opened[0] += 1

    with under_attack(tmp_path) as attacked, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(meanwhile(attack))
        while opened[0] < 200:
            attacked.store()


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_handshakes_that_stop_or_drip_keep_nobody_out(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with under_attack(tmp_path, tls_cert=cert, tls_key=key) as attacked, ExitStack() as stack:
        half = [stack.enter_context(attacked.connect()) for _ in range(200)]
        for connection in half:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a ClientHello
        context = ssl.create_default_context(cafile=str(cert))
        for _ in range(PLACES):  # through the handshake, and then no word
            plain = stack.enter_context(attacked.connect())
            silent = context.wrap_socket(plain, server_hostname="127.0.0.1")
            stack.enter_context(RawClient(0, STORE, connection=silent))
        with meanwhile(drip(half)):
            attacked.store()


# --- killed -------------------------------------------------------------------------------------------------------
