"""How fast the box accepts a modality's images, beside dcmtk's storescp and Orthanc, which give weaker durability.

One association from dcmtk's storescu sends a CT series to each receiver in turn; then eight storescu at once send a
series each. Every receiver is a process of its own with a fresh folder on the same file system. What counts is the
senders' time, from the start of the first to the release of the last. A time counts only when the receiver holds every
image afterwards. Only Lantern, and the limit beside it, sync to the disk.

Most of the peers' time as they come is Nagle's algorithm waiting for a delayed acknowledgement; TCP_NODELAY=1 is
dcmtk's own switch against it, and storescp needs --fork to serve more than one association at once.

    python -m bench.intake [--data FOLDER_OR_TAR] [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench import harness, limits, receivers
from bench.outcome import Fact, Goal, Table
from bench.receivers import Receiver, first_line

_SENDERS: Final = 8


def main() -> None:
    options = _options()
    storescu = harness.need_tool("storescu", "dcmtk")
    with tempfile.TemporaryDirectory(prefix="lantern-bench-", dir=options.work) as name:
        folder = Path(name)
        files = receivers.lay_out(options.data, folder / "series")
        tables, absent = [], []
        for title, folders, fork in (
            ("C-STORE, one association", [folder / "series"], False),
            (
                f"C-STORE, {_SENDERS} associations at once",
                receivers.for_several(files, _SENDERS, options.images, folder / "several"),
                True,
            ),
        ):
            installed, missing = receivers.find_peers(fork=fork)
            absent += [sentence for sentence in missing if sentence not in absent]
            tables.append(_table(title, storescu, folders, [receivers.lantern(), *installed], folder / "work", options))
    harness.publish(options, "Intake", tables, _goals(tables), absent)


def _options() -> argparse.Namespace:
    parser = harness.parser(rounds=(5, 1, "rounds that count"))
    parser.add_argument(
        "--data",
        type=Path,
        default=receivers.REAL if receivers.REAL.exists() else None,
        help="a folder of DICOM files or a tar of them (default: ../shared/data/ct, else pydicom-data)",
    )
    parser.add_argument("--images", type=int, default=40, help="images of each of the eight senders")
    parser.add_argument("--work", type=Path, default=None, help="where receivers store (default: the temporary folder)")
    return harness.parse(parser)


def _table(
    title: str,
    storescu: str,
    folders: Sequence[Path],
    compared: Iterable[Receiver],
    work: Path,
    options: argparse.Namespace,
) -> Table:
    sizes = [len(path.read_bytes()) for folder in folders for path in folder.iterdir()]  # this also warms the cache
    variants = [
        harness.Variant(each.name, each.version, partial(_send, storescu, each, folders, len(sizes), work), each.kind)
        for each in compared
    ]
    variants += [
        harness.Variant(name, "", partial(limits.measure, what, work, folders), "limit")
        for what, name in limits.NAMES.items()
    ]
    results = harness.alternate(variants, options.rounds, warm_ups=0 if options.quick else 1)
    facts: dict[str, Fact] = {
        "images": len(sizes),
        "megabytes": round(sum(sizes) / 1e6, 1),
        "Lantern's images per second": round(len(sizes) / results[0].median),
        "sender": first_line([storescu, "--version"]),
    }
    return Table(title, "s", tuple(result.row for result in results), facts)


def _goals(tables: Sequence[Table]) -> list[Goal]:
    one, several = tables
    wanted = ((one, "dcmtk storescp", 3), (one, "Orthanc", 4), (several, "Orthanc", 6))
    goals = []
    for table, peer, times in wanted:
        row = next((row for row in table.rows if row.name == peer), None)
        if row is not None:
            text = f"{table.title}: times as fast as {peer} as it comes"
            goals.append(Goal(text, row.median / table.rows[0].median, times, "×", at_least=True))
    return goals


# --- one measurement ----------------------------------------------------------------------------------------------


def _send(storescu: str, receiver: Receiver, folders: Sequence[Path], images: int, work: Path) -> float:
    """Seconds until all folders have been sent, at the same time."""
    folder = harness.empty(work)
    port = harness.free_port()
    with receiver.running(folder, port):
        os.sync()  # dirty pages of the last round must not be written in this one
        begun = time.perf_counter()
        senders = [
            subprocess.Popen(
                [storescu, "+sd", "127.0.0.1", str(port), str(sent)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for sent in folders
        ]
        complaints = [sender.communicate()[1] for sender in senders]
        seconds = time.perf_counter() - begun
    for sender, complaint in zip(senders, complaints, strict=True):
        if sender.returncode != 0:
            harness.give_up(f"storescu could not send to {receiver.name}: {complaint.strip().splitlines()[-1:]}")
    held = receiver.held(folder)
    if held != images:
        harness.give_up(f"{receiver.name} holds {held} of {images} images, so its time means nothing.")
    return seconds


if __name__ == "__main__":
    main()
