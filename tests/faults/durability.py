"""What a receiver still has of the images that it acknowledged when the power is cut: Lantern beside its neighbours.

Every round makes a fresh ext4 file system for each receiver, starts the receiver on it, and lets dcmtk's storescu send
the same images.  The power is cut right after the last success response, or at a seeded random instant in the middle.
Then the file system is mounted again and searched for the very bytes that were sent; then the receiver is started
again and its index is asked.  Only what storescu had reported as a success *before* the cut counts as acknowledged.

    python -m tests.faults.durability [--rounds N] [--json] [--write docs/durability.md]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.faults.loopfs import LoopFileSystem, loop_file_system
from tests.faults.receivers import Lantern, Receiver, receivers
from tests.faults.storescu import ROWS, Image, Sender, make_series
from tests.peers import need_root, peer

_DISK_MB: Final = 2048  # Lantern takes nothing when less than 512 are free
_LAST, _MIDDLE, _NONE = "after the last answer", "in the middle", "none (control)"
_ONE, _EACH = "one", "one per image"


@dataclass(frozen=True)
class Round:
    """What one receiver had acknowledged before one cut, and what of that was there after it."""

    receiver: str
    associations: str
    cut: str
    number: int
    sent: int
    acknowledged: int
    kept: int
    indexed: int | None


def main() -> None:
    options = _options()
    try:
        need_root()
        candidates = receivers()
        rounds = _experiment(candidates, options.rounds, options.images, options.seed)
    except pytest.skip.Exception as missing:
        sys.exit(f"This experiment {missing.msg}.")
    versions = {receiver.name: receiver.version for receiver in candidates}
    table = _table(rounds)
    if options.json:
        facts = {"seed": options.seed, "sender": _sender(), "versions": versions}
        print(json.dumps({"experiment": "durability", **facts, "rounds": [asdict(one) for one in rounds]}))
    else:
        print(table)
    if options.write is not None:
        options.write.write_text(_page(table, versions, options), "utf-8")
    if any(one.kept != one.acknowledged or one.indexed != one.kept for one in rounds if _is_ours(one)):
        sys.exit("Lantern has lost an image that it had acknowledged.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.durability", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=10, help="rounds of every kind of cut")
    parser.add_argument("--images", type=int, default=50, help="images in a round")
    parser.add_argument("--seed", type=int, default=1, help="of the images and of the instants in the middle")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--write", type=Path, default=None, metavar="FILE", help="write the page with the table")
    return parser.parse_args()


def _is_ours(one: Round) -> bool:
    return one.receiver == Lantern.name


# --- the experiment -----------------------------------------------------------------------------------------------


def _experiment(candidates: Sequence[Receiver], rounds: int, images: int, seed: int) -> list[Round]:
    """All rounds, the receivers in turn.  A round without a cut comes first: it proves that we find what is kept."""
    one: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="lantern-durability-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as a user of its own
        series = make_series(Path(folder) / "series", images, seed)
        plan = [(0, _ONE, _NONE)]
        plan += [(number, form, cut) for number in range(rounds) for form in (_ONE, _EACH) for cut in (_LAST, _MIDDLE)]
        for step, (number, form, cut) in enumerate(plan):
            for receiver in candidates:
                instant = random.Random(f"{seed}/{number}/{form}/{cut}")
                after = instant.randrange(1, images) if cut == _MIDDLE else images
                delay_s = instant.uniform(0, 0.05) if cut == _MIDDLE else 0.0
                with tempfile.TemporaryDirectory(dir=folder) as place, loop_file_system(Path(place), _DISK_MB) as disk:
                    Path(place).chmod(0o755)
                    held = _one_round(receiver, disk, series, form, cut, after, delay_s)
                one.append(Round(receiver.name, form, cut, number, images, *held))
                _progress(f"step {step + 1} of {len(plan)}: {one[-1]}")
                if cut == _NONE and not one[-1].acknowledged == one[-1].kept == images:
                    sys.exit(f"Without a cut {receiver.name} keeps {one[-1].kept} of {images}; nothing is proven.")
    return one


def _one_round(
    receiver: Receiver, disk: LoopFileSystem, series: list[Image], form: str, cut: str, after: int, delay_s: float
) -> tuple[int, int, int | None]:
    """How many images were acknowledged before the cut, and how many of those are kept, and indexed."""
    if receiver.mounted_sync:
        subprocess.run(["mount", "-o", "remount,sync", str(disk.mount)], check=True)
    receiver.prepare(disk.mount)
    with receiver.running(disk.mount) as port:
        subprocess.run(["sync", "-f", str(disk.mount)], check=True)  # the empty receiver is no part of the question
        sender = Sender(port, series, one_association=form == _ONE)
        sender.await_successes(after)
        if delay_s:
            time.sleep(delay_s)  # the random instant itself
        instant = time.monotonic() if cut == _NONE else disk.cut_power()
        sender.stop()
        acknowledged = sender.count_successes_before(instant)
    if cut == _NONE:
        subprocess.run(["sync", "-f", str(disk.mount)], check=True)
    disk.restore_power()
    acknowledged_uids = {image.sop_instance for image in series[:acknowledged]}
    whole = find_intact_instances(disk.mount / receiver.store, series)
    with receiver.running(disk.mount):
        known = receiver.list_indexed(disk.mount)
    return (
        acknowledged,
        len(acknowledged_uids & whole),
        None if known is None else len(acknowledged_uids & whole & known),
    )


def find_intact_instances(store: Path, series: list[Image]) -> set[str]:
    """The instances of *series* whose data set lies in a file below *store*, byte for byte."""
    sent = {image.data_set_sha256: image.sop_instance for image in series}
    length = series[0].data_set_bytes
    tails = (path.read_bytes()[-length:] for path in store.rglob("*") if path.is_file())
    return {sent[digest] for tail in tails if (digest := hashlib.sha256(tail).hexdigest()) in sent}


# --- the page -----------------------------------------------------------------------------------------------------


def _table(rounds: list[Round]) -> str:
    titles = ["receiver", "associations", "power cut", "rounds", "acknowledged", "kept whole", "median, worst round"]
    titles += ["found by its index", "median, worst round"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for name in dict.fromkeys(one.receiver for one in rounds):
        for form, cut in ((_ONE, _LAST), (_EACH, _LAST), (_ONE, _MIDDLE), (_EACH, _MIDDLE)):
            these = [one for one in rounds if (one.receiver, one.associations, one.cut) == (name, form, cut)]
            acknowledged = sum(one.acknowledged for one in these)
            kept = _cells([(one.kept, one.acknowledged) for one in these])
            index = [(one.indexed, one.acknowledged) for one in these if one.indexed is not None]
            indexed = _cells(index) if index else "has none | –"
            lines.append(f"| {name} | {form} | {cut} | {len(these)} | {acknowledged} | {kept} | {indexed} |")
    return "\n".join(lines)


def _cells(pairs: list[tuple[int, int]]) -> str:
    """The sum over the rounds; the median share, and the round with the smallest one."""
    shares = [had / of for had, of in pairs]
    worst = pairs[shares.index(min(shares))]
    return f"{sum(had for had, _ in pairs)} | {statistics.median(shares):.0%}, {worst[0]} of {worst[1]}"


_EXPLAINED: Final = """\
# What is left of an acknowledged image when the power goes

A modality may delete an image as soon as it has heard a success (PS3.4 B.2.3). So the question to a receiver is what
it still has of the images that it acknowledged, when the power goes.

{table}

{versions}

Made by `{command}`
as root (`make durability` makes it anew), with {sender}
as the sender, everything on the same machine in one session. Every round has its own fresh ext4 file system on a loop
device, with the default journal, and sends {images} CT slices of {kilobytes} kB. *Acknowledged* is what the sender had
reported as a success before the cut. *Kept whole* is what of that is found afterwards in the receiver's folder, every
byte of the data set as it was sent. *Found by its index* is what of the kept ones the receiver itself knows when it is
started again: Lantern by its database, Orthanc by its REST interface. One round without a cut goes before all others;
the command gives up unless every receiver keeps everything in it. The instants in the middle are drawn from the seed:
after a random number of answers and up to 50 ms more.

**How the cut works.** The file system is told to go down at once (`XFS_IOC_GOINGDOWN` with the flag that flushes
nothing, which ext4 knows too). From that instant nothing reaches the image file, neither data nor journal; what was
only in the memory of the kernel is gone, as it is when the plug is pulled. Then the receiver is killed, the file
system unmounted and mounted again, and its journal replayed as at the next start. The cut shows whether a receiver
has waited for the file system before it answered. It does not show a disk that lies about its cache: what the
file system has handed to the device counts as kept here, and a disk that confirms a flush without doing it can still
lose that. For such a disk only one with power-loss protection helps, whatever the receiver does. Nor does it tear a
sector in the middle of a write.

**What each one does.** Lantern syncs the file, its directory and its database before it answers. dcmtk and pynetdicom
write the file and answer; neither offers a switch for more, so dcmtk's receiver also stands here on a file system
mounted with `-o sync`. Orthanc syncs each file by default (`SyncStorageArea`), but its SQLite index runs with
`synchronous=NORMAL`, for which there is no setting: after a cut there are files in its folder that it does not know.
With its PostgreSQL plugin, the durable index that it offers, the index is committed before the answer.
"""


def _page(table: str, versions: dict[str, str], options: argparse.Namespace) -> str:
    command = f"python -m tests.faults.durability --rounds {options.rounds} --images {options.images}"
    return _EXPLAINED.format(
        table=table,
        versions="\n".join(f"- {name}: {version}" for name, version in versions.items()),
        command=f"{command} --seed {options.seed} --write docs/durability.md",
        sender=_sender(),
        images=options.images,
        kilobytes=2 * ROWS * ROWS // 1024,
    )


def _sender() -> str:
    asked = subprocess.run([peer("storescu"), "--version"], capture_output=True, text=True, check=True)
    return asked.stdout.splitlines()[0].strip("$ ").replace("dcmtk:", "dcmtk")


def _progress(text: str) -> None:
    if sys.stderr.isatty() or os.environ.get("LANTERN_PROGRESS"):
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
