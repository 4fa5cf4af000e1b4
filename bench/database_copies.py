"""How long an hourly copy of the databases takes, what the ring needs of the disk, and how fast a box goes on with one.

clinical.db holds some cases of one small film and one reading each, and older readings until it has the size asked
for.  Measured are one run of the ring (copy, quick_check, digest, fsync), the bytes of a full ring, the check at a
start after a power cut, and the replacement of a damaged database by its copy, or by all its films without a copy.

    python -m bench.database_copies [--megabytes N] [--cases N] [--rounds N]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from firmware_app.appliance import backup_ring, rescue
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import Finding, Instance, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.header import examine_file
from firmware_app.uplink.outbox import Outbox
from tests import objects

_KEEP: Final = 7  # [backup] keep


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.database_copies", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        state = StateDir(Path(folder) / "state")
        state.prepare()
        fill(state, options.cases)
        grow(state, options.megabytes * 1_000_000)
        path = state.clinical_db
        print(f"clinical.db: {options.cases} cases, {path.stat().st_size / 1e6:.1f} MB")
        ring = backup_ring.BackupRing(state.backup)
        print_times(
            "a copy into the ring",
            [measure_time(lambda: ring.make(state.databases, _KEEP, 0)) for _ in range(options.rounds)],
        )
        size = sum(file.stat().st_size for file in state.backup.rglob("*") if file.is_file())
        print(f"the full ring of {len(ring.read_copies())}: {size / 1e6:.1f} MB")
        checks = []
        for _ in range(3):
            path.with_name("clinical.db-clean").unlink(missing_ok=True)
            checks.append(measure_time(lambda: rescue.rescue_database(state, path)))
        print_times("check at a start", checks)
        path.write_bytes(b"\xff" * 4096)
        print_times("going on with the copy", [measure_time(lambda: rescue.rescue_database(state, path))])
        state.backup.rename(state.root / "hidden")
        path.write_bytes(b"\xff" * 4096)
        print_times(f"begun anew, {options.cases} films", [measure_time(lambda: rescue.rescue_database(state, path))])


def print_times(what: str, seconds: list[tuple[float, float]]) -> None:
    wall, processor = (median(values) for values in zip(*seconds, strict=True))
    print(f"{what}: {wall:.2f} s, {processor:.2f} s of processor time (median of {len(seconds)})")


def measure_time(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    began, used = time.monotonic(), time.process_time()
    action()
    return time.monotonic() - began, time.process_time() - used


def grow(state: StateDir, size: int) -> None:
    """Add readings of before until the file has *size* bytes."""
    clinical = ClinicalDatabase(state.clinical_db)
    connection = clinical.database.connection
    connection.execute("PRAGMA synchronous=OFF")
    while state.clinical_db.stat().st_size < size:
        connection.execute(
            "INSERT INTO superseded (key, case_reference, body, read_at, replaced_at)"
            " SELECT key, case_reference, body, at, at FROM readings"
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    clinical.database.close()


def fill(state: StateDir, cases: int) -> None:
    """Write the rows directly: the door would sync to the disk for each image."""
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    clinical.database.connection.execute("PRAGMA synchronous=OFF")
    for number in range(cases):
        data = objects.file_of(objects.film(study=f"1.2.3.{number}", sop_instance=f"1.2.4.{number}"))
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"images/{sha256[:2]}/{sha256}.dcm"
        (state.root / file).parent.mkdir(exist_ok=True)
        (state.root / file).write_bytes(data)
        admitted = clinical.admit(
            path="bench",
            file=file,
            sha256=sha256,
            size=len(data),
            header=examine_file(state.root / file).header,
            association=None,
        )
        assert isinstance(admitted, Instance)
        clinical.finish(admitted, _reading(admitted), Priority.ROUTINE)
        clinical.close_revisions(0.0, report=Outbox(clinical.database).put)
    clinical.database.close()


def _reading(instance: Instance) -> Reading:
    finding = Finding("pneumonia", {"en": "Pneumonia", "zh_CN": "肺炎"}, 0.2, 0.5)
    return Reading(
        Scope.INSTANCE,
        (instance.reference,),
        ReadingStatus.READ,
        None,
        PackIdentity("bench", "1.0.0", "onnxruntime", "int8"),
        Timing(1, 2, 3),
        (finding,),
    )


if __name__ == "__main__":
    main()
