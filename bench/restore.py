"""How long a locked backup takes, and restoring it onto a box that replaces one.

A box with films of random bytes, which nothing can compress, as the machines send them; its first locked backup, one of
a night in which nothing new came, and `lantern restore` onto an empty state.  Box and clinic's disk are folders of one
disk here, read with cold caches where the kernel lets us.  Beside the rates: what share of the time each step takes.

    python -m bench.restore [--megabytes N] [--film-mb N] [--on DIR] [--json] [--quick]
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench import harness
from bench.outcome import Row, Table
from firmware_app.appliance import backup_ring, locked_backup, locked_folder, locked_restore
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.messages import encrypted_files

_MEGABYTES, _QUICK_MEGABYTES, _FILM_MB = 2000, 200, 8.0
_CLINIC_MB: Final = 15.0
"""A film of 2500 x 3000 pixels in 16 bits, as a machine sends it uncompressed."""
_A_DAY, _DAYS, _MINUTES = 20, 300, 30
_KEEP: Final = 7


def main() -> None:
    parser = harness.parser("restore", __doc__)
    parser.add_argument("--megabytes", type=int, help=f"of films; default {_MEGABYTES}")
    parser.add_argument("--film-mb", type=float, default=_FILM_MB, help="each; default %(default)s")
    parser.add_argument("--on", type=Path, help="a folder on the disk to measure; default: that of temporary files")
    options = parser.parse_args()
    megabytes = options.megabytes or (_QUICK_MEGABYTES if options.quick else _MEGABYTES)
    with tempfile.TemporaryDirectory(prefix="lantern-bench-", dir=options.on) as name:
        folder = Path(name)
        tables = measure(folder, max(1, round(megabytes / options.film_mb)), options.film_mb)
    harness.publish("Locked backup and restoring", tables, as_json=options.json, quick=options.quick)


def measure(folder: Path, films: int, film_mb: float) -> list[Table]:
    state, disk, other = StateDir(folder / "box"), folder / "disk", StateDir(folder / "other")
    disk.mkdir()
    fill(state, films, int(film_mb * 1e6))
    code = locked_backup.make_recovery_code(state)
    databases = backup_ring.BackupRing(state.backup)
    megabytes = films * film_mb
    took: dict[str, float] = {}
    shares: dict[str, dict[str, float]] = {}

    def night() -> None:
        locked_backup.make_locked_backup(state, disk, databases.make(state.databases, _KEEP, 0), _KEEP)

    for name, action in (
        ("first backup", night),
        ("a night without new films", night),
        ("restore", lambda: locked_restore.restore_backup(other, disk, code)),
    ):
        os.sync()
        with suppress(OSError):  # root alone, and not in every container
            Path("/proc/sys/vm/drop_caches").write_text("3")
        with _timed_steps() as steps:
            begun = time.perf_counter()
            action()
            took[name] = time.perf_counter() - begun
        shares[name] = {step: seconds / took[name] for step, seconds in steps.items()}
    year_gb = _A_DAY * _DAYS * _CLINIC_MB / 1000
    rates = {name: megabytes / took[name] for name in ("first backup", "restore")}
    half_hour = rates["restore"] * 60 * _MINUTES / 1000
    return [
        Table(
            "Time",
            "s",
            tuple(Row(name, (seconds,)) for name, seconds in took.items()),
            {"films": films, "MB": round(megabytes)},
            compared=False,
        ),
        Table(
            "Rate",
            "MB/s",
            tuple(Row(name, (rate,)) for name, rate in rates.items()),
            {
                f"GB restored in {_MINUTES} min at this rate": round(half_hour, 1),
                f"GB of a year of {_A_DAY} films a day of {_CLINIC_MB:g} MB on {_DAYS} days": round(year_gb, 1),
                "minutes for that year": round(year_gb * 1000 / rates["restore"] / 60, 1),
            },
            compared=False,
        ),
        *(
            Table(
                f"Shares of the time: {name}",
                "%",
                tuple(Row(step, (100 * share,)) for step, share in parts.items()),
                compared=False,
                plotted=False,
            )
            for name, parts in shares.items()
            if name != "a night without new films"
        ),
    ]


def fill(state: StateDir, films: int, size: int) -> None:
    """Files and rows, written directly: the door would sync for each."""
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    clinical.database.connection.execute("PRAGMA synchronous=OFF")
    for number in range(films):
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        file = f"images/{sha256[:2]}/{sha256}.dcm"
        (state.root / file).parent.mkdir(exist_ok=True)
        (state.root / file).write_bytes(os.urandom(size))
        clinical.admit(path="bench", file=file, sha256=sha256, size=size, header=None, association=None)
        harness.progress(f"film {number + 1} of {films}")
    clinical.database.close()
    with closing(sqlite3.connect(state.clinical_db)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _timed_steps() -> Iterator[dict[str, float]]:
    """Seconds in each step, filled while the block runs; the rest is tar, HPKE and waiting for reads."""
    steps = {"encrypt or decrypt": 0.0, "wait for the disk": 0.0, "read back": 0.0}

    def timed(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                steps[step] += time.perf_counter() - begun

        return run

    class Timed:
        def __init__(self, key: bytes) -> None:
            cipher = AESGCM(key)
            self.encrypt = timed("encrypt or decrypt", cipher.encrypt)
            self.decrypt = timed("encrypt or decrypt", cipher.decrypt)

    with (
        patch.object(os, "fsync", timed("wait for the disk", os.fsync)),
        patch.object(locked_folder, "_require_whole", timed("read back", locked_folder._require_whole)),
        patch.object(encrypted_files, "AESGCM", Timed),
    ):
        yield steps


if __name__ == "__main__":
    main()
