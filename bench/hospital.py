"""How many sealed summaries a second the hospital verifies, opens, commits and answers, beside the same without crypto.

A backlog of several boxes lies in a real mosquitto, as after a night without the receiver.  The clock runs from the
moment the receiver's process begins to connect until the boxes' process has the last receipt in its hands: TLS with
client certificates, SQLite synchronous=FULL, PUBACK after the commit, receipts after that.  Broker, boxes and receiver
are a process each.  “Without crypto” is the same receiver, with messages and receipts of the same length that are
neither sealed nor signed; only this bench can make such a receiver, the product has no switch for it.

Beside them, what each part could do if it were alone: opening on one core, SQLite, and mosquitto with a client that
only acknowledges.

Then the same by `lantern-hospital serve` as it is installed, while nobody or four people look at its page; and what the
page and the list ask of an inbox of a million case revisions (`bench/county.py`).

    python -m bench.hospital [--messages N] [--rounds N] [--rows N] [--json]
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import cryptography

from bench import county, harness, ingest_parts
from bench.outcome import Fact, Goal, Table
from firmware_app import __version__
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox
from tests.wire.line_rig import HospitalRig, run_hospital

_VERSION: Final = f"lantern {__version__}"


def main() -> None:
    options = harness.parse(
        harness.parser(
            messages=(10_000, 2000, "of all boxes"),
            rounds=(3, 1, "rounds that count"),
            rows=(1_000_000, 20_000, "of the large inbox"),
        )
    )
    mosquitto = harness.need_tool("mosquitto", "mosquitto")
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder = Path(name)
        with run_hospital(folder, with_receiver=False) as site:
            bench = _Bench(folder, site, options.messages)
            bench.prepare()
            variants = [
                harness.Variant("sealed and signed", _VERSION, lambda: bench.drain("sealed")),
                harness.Variant("the same without crypto", _VERSION, lambda: bench.drain("clear")),
            ]
            for name, version, measure in (
                ("opening, verifying and parsing, one core", f"cryptography {cryptography.__version__}", "open"),
                ("SQLite, committed in batches", f"sqlite {sqlite3.sqlite_version}", "commit"),
                ("mosquitto and a client that only acknowledges", _version(mosquitto), "acknowledge"),
            ):
                run = partial(bench.drain if measure == "acknowledge" else bench.measure_alone, measure)
                variants.append(harness.Variant(f"limit: {name}", version, run, "limit"))
            results = harness.alternate(variants, options.rounds, warm_ups=0 if options.quick else 1)
            looks = [
                harness.Variant(name, _VERSION, partial(bench.measure_with_pages, between_s))
                for name, between_s in (
                    ("nobody looks", None),
                    ("four open pages, reloaded each second", 1.0),
                    ("four pages, asked for without pause", 0.0),
                )
            ]
            looked = harness.alternate(looks, options.rounds, warm_ups=0)
            begun = time.monotonic()
            large = HospitalSite(folder / "large")
            large.set_up("127.0.0.1", 8883)
            county.fill(large.inbox_db, options.rows)
            filled_s = time.monotonic() - begun
            asked, listed_mb = county.ask(large.inbox_db, 50), county.list_all(large, options.rows)
    facts: dict[str, Fact] = {
        "messages": options.messages,
        "boxes": ingest_parts.BOXES,
        "bytes of an envelope": bench.envelope_bytes,
        "cores for broker, boxes and receiver together": os.cpu_count() or 0,
    }
    table = Table(
        "Sealed summaries counted and answered", "summaries/s", tuple(result.row for result in results), facts
    )
    pages = Table(
        "The same by `lantern-hospital serve`, while people look at its page",
        "summaries/s",
        tuple(result.row for result in looked),
        {"messages": options.messages, "rows before": options.messages},
    )
    questions = Table.aside(
        "What the page asks of a large inbox",
        "ms",
        asked,
        {
            "case revisions": options.rows,
            "boxes": county.BOXES,
            "MB of memory of `lantern-hospital summaries --json` that lists all": round(listed_mb),
            "seconds to fill it": round(filled_s),
        },
    )
    sealed, clear = results[0].median, results[1].median
    goals = [
        Goal("sealed summaries a second on one worker", sealed, 2000, "1/s", at_least=True),
        Goal("of the rate without crypto", sealed / clear, 0.7, "×", at_least=True),
        Goal("of the rate while four pages are open", looked[1].median / looked[0].median, 0.9, "×", at_least=True),
        Goal("the page's questions of so many rows", asked[0].median, 20, "ms"),
        Goal("memory of the whole list", listed_mb, 100, "MB"),
    ]
    harness.publish(options, "Hospital", [table, pages, questions], goals)


def _version(mosquitto: str) -> str:
    said = subprocess.run([mosquitto, "-h"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0].replace(" version", "")


# --- one measurement ------------------------------------------------------------------------------------------------


@dataclass
class _Bench:
    """The hospital, its broker, and the messages that every round sends again into an empty inbox."""

    folder: Path
    site: HospitalRig
    messages: int
    envelope_bytes: int = 0

    def prepare(self) -> None:
        """Enrol the boxes and write what they will send, sealed and unsealed, once for all rounds."""
        self.site.inbox.close()
        self.envelope_bytes = ingest_parts.provision_boxes(self.site.house, self.folder, self.messages)
        self._copy("empty.db")
        county.fill(self.site.house.inbox_db, self.messages)
        self._copy("county.db")

    def _copy(self, name: str) -> None:
        """Copy the inbox with what is in its WAL, which a copy of the file alone would miss."""
        with closing(sqlite3.connect(self.site.house.inbox_db)) as connection:
            connection.execute("VACUUM INTO ?", (str(self.folder / name),))

    def _put_back(self, name: str) -> None:
        for path in self.site.house.root.glob("inbox.db*"):
            path.unlink()
        shutil.copy(self.folder / name, self.site.house.inbox_db)

    def drain(self, part: str) -> float:
        """Messages a second, from the receiver's start until the last box has its last receipt."""
        self._put_back("empty.db")
        ingest_parts.subscribe(self.site.house, self.site.port)
        what = "clear" if part == "clear" else "sealed"
        with self._process(f"boxes-{what}") as boxes:
            _read_event_time(boxes, "sent")
            with self._process(part) as worker:
                _end_with(worker, boxes)
                begun = _read_event_time(worker, "begun")
                ended = (
                    _read_event_time(worker, "acknowledged")
                    if part == "acknowledge"
                    else _read_event_time(boxes, "answered")
                )
        if part != "acknowledge":
            inbox = Inbox(self.site.house.inbox_db)
            counted, aside = len(inbox.list_cases()), len(inbox.list_aside())
            inbox.close()
            if (counted, aside) != (self.messages, 0):
                harness.give_up(f"{counted} of {self.messages} counted, {aside} aside: the time means nothing.")
        return self.messages / (ended - begun)

    def measure_with_pages(self, between_s: float | None) -> float:
        """Messages a second of `lantern-hospital serve` over a county's inbox, while people look at its page."""
        self._put_back("county.db")
        house, page = self.site.house, harness.free_port()
        ingest_parts.subscribe(house, self.site.port)
        command = [sys.executable, "-m", "hospital.cli", "serve", "--dir", str(house.root), "--page-port", str(page)]
        with self._process("boxes-sealed") as boxes:
            _read_event_time(boxes, "sent")
            with county.keep_pages_open(page, between_s), self._running("serve", [*command, "--json"]) as receiver:
                _end_with(receiver, boxes)
                assert receiver.stdout is not None
                receiver.stdout.readline()  # the page listens
                begun = time.monotonic()
                return self.messages / (_read_event_time(boxes, "answered") - begun)

    def measure_alone(self, part: str) -> float:
        """Messages per second of one part alone."""
        with self._process(part) as worker:
            begun = _read_event_time(worker, "begun")
            return self.messages / (_read_event_time(worker, "done") - begun)

    def _process(self, part: str) -> AbstractContextManager[subprocess.Popen[str]]:
        where = [str(self.folder), str(self.site.port), str(self.messages)]
        return self._running(part, [sys.executable, "-m", "bench.ingest_parts", part, *where])

    @contextmanager
    def _running(self, part: str, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        with (self.folder / f"{part}.log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _end_with(worker: subprocess.Popen[str], boxes: subprocess.Popen[str]) -> None:
    """End *boxes* when the receiver fails: they would wait minutes for its receipts."""

    def watch() -> None:
        if worker.wait() > 0:
            boxes.terminate()

    threading.Thread(target=watch, daemon=True).start()


def _read_event_time(process: subprocess.Popen[str], word: str) -> float:
    """The time at which a process printed *word*."""
    assert process.stdout is not None
    said = (json.loads(line) for line in process.stdout)
    moment: float | None = next((event["at"] for event in said if event["event"] == word), None)
    if moment is None:
        harness.give_up(f"A process of the bench ended before it had “{word}”.")
    return moment


if __name__ == "__main__":
    main()
