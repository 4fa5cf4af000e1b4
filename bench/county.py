"""A county's inbox for `bench.hospital`: a million case revisions, what the page and the list ask of it, and the people
who look at the page meanwhile.

    python -m bench.county PORT SECONDS         four who open the page at PORT and reload it, SECONDS between two looks
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Final

from bench import harness
from bench.outcome import Row
from firmware_app.uplink.messages.summary import Origin, Presence, PresenceKind
from hospital.hospital_site import HospitalSite
from hospital.inbox import receiver_status
from hospital.inbox.inbox_db import Inbox
from hospital.page import urgent_cases

BOXES: Final = 100
PAGES: Final = 4
_URGENT: Final = 49  # one case in so many
_DAYS: Final = 30
_BRIEF: Final = json.dumps(
    {
        "case": "c-00000000000000000000",
        "findings": [{"code": "tuberculosis", "hundredths": 93}],
        "hour": None,
        "latency_ms": 214,
        "lesions": 0,
        "modality": "DX",
        "pack": "chest-xray-adult",
        "pack_version": "1.0.0",
        "priority": "routine",
        "quality": "ok",
        "revision": 1,
        "runtime": "onnxruntime",
        "size_band": "none",
        "verdict": "none",
    }
)


def main() -> None:
    port, between_s = int(sys.argv[1]), float(sys.argv[2])
    for _ in range(PAGES - 1):
        threading.Thread(target=_look, args=(port, between_s), daemon=True).start()
    _look(port, between_s)


def _look(port: int, between_s: float) -> None:
    address = f"http://127.0.0.1:{port}/"
    while True:
        with suppress(OSError, HTTPException), urllib.request.urlopen(address, timeout=60) as answer:
            answer.read()
        time.sleep(between_s)


def fill(inbox_db: Path, rows: int) -> None:
    """Insert *rows* case revisions of the last month, each in a message of its own, and presence of the boxes."""
    now = datetime.now(UTC)
    begun, between = now - timedelta(days=_DAYS), timedelta(days=_DAYS) / rows
    at = [(begun + number * between).isoformat(timespec="milliseconds") for number in range(rows)]
    with closing(Inbox(inbox_db)) as inbox:
        inbox.create()
        with inbox.transaction() as connection:
            names = [f"county-{number}" for number in range(BOXES)]
            connection.executemany(
                "INSERT INTO boxes (box, verify, enrolled_at) VALUES (?, ?, '')", [(name, "0" * 64) for name in names]
            )
            connection.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)",
                ((names[row % BOXES], "5" * 32, row, bytes(32), bytes(32), at[row]) for row in range(rows)),
            )
            connection.executemany(
                "INSERT INTO cases VALUES (?, ?, 1, ?, NULL, ?, ?)",
                (
                    (names[row % BOXES], f"c-{row:020x}", "routine" if row % _URGENT else "urgent", _BRIEF, at[row])
                    for row in range(rows)
                ),
            )
            for name in names:
                origin = Origin(name, "5" * 32, 1, "0" * 16)
                inbox.keep_presence(Presence(origin, PresenceKind.HEALTH, 1, "1.0.0", 0, 0, 0, 9, None, None, (), ()))


def ask(inbox_db: Path, times: int) -> tuple[Row, ...]:
    """Milliseconds of the page's queries, each on a connection of its own, as the page makes them."""

    def first(inbox: Inbox) -> None:
        receiver_status.read_receiver_status(inbox.connection)
        urgent_cases.urgent(inbox.connection, datetime.now(UTC))
        inbox.list_boxes()
        inbox.list_aside(20)

    def one_box(inbox: Inbox) -> None:
        urgent_cases.list_box_cases(inbox.connection, "county-0", datetime.now(UTC), None)

    with closing(Inbox(inbox_db)) as receivers:  # keeps it open, as another process does while the page is shown
        receivers.list_boxes()
        return (
            Row("all that the first page asks", _measure_time(inbox_db, first, times)),
            Row("the page of one box", _measure_time(inbox_db, one_box, times)),
        )


def _measure_time(inbox_db: Path, question: Callable[[Inbox], None], times: int) -> tuple[float, ...]:
    samples = []
    for _ in range(times):
        begun = time.perf_counter()
        with closing(Inbox(inbox_db, read_only=True)) as inbox:
            question(inbox)
        samples.append(1000 * (time.perf_counter() - begun))
    return tuple(samples)


def list_all(house: HospitalSite, rows: int) -> float:
    """The most memory, in MB, of `lantern-hospital summaries --json` that lists all *rows*."""
    command = [sys.executable, "-m", "hospital.cli", "summaries", "--json", "--since", "all", "--dir", str(house.root)]
    counter = subprocess.Popen(["wc", "-l"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    listing = subprocess.Popen(command, stdout=counter.stdin)
    most = 0.0
    while listing.poll() is None:
        most = max(most, _most_mb(listing.pid))
        time.sleep(0.02)
    printed, _ = counter.communicate()
    if listing.returncode != 0 or int(printed) != rows:
        harness.give_up(f"The list ended with {listing.returncode} after {printed.strip()} of {rows} lines.")
    return most


def _most_mb(process: int) -> float:
    """Peak memory of a running process; not `ru_maxrss`, which includes its parent's memory before exec."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return next((int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


@contextmanager
def keep_pages_open(port: int, between_s: float | None) -> Iterator[None]:
    """`PAGES` open pages at *port*, each reloaded *between_s* seconds after its answer; None: no page is open."""
    if between_s is None:
        yield
        return
    people = subprocess.Popen([sys.executable, "-m", "bench.county", str(port), str(between_s)])
    try:
        yield
    finally:
        people.terminate()
        people.wait()


if __name__ == "__main__":
    main()
