"""How long the check of clinical.db takes at each start, and how long a rebuild takes.

The database is one of many cases, one small film, one reading and one outbox row each; the files are in the page cache.
Measured are the check that every start makes, the thorough one after somebody stumbled, and the rebuild of a database
whose first page is overwritten (every row read from the leaves) and of one that is gone (every file examined).

    python -m bench.rescue [--cases N] [--rounds N]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from firmware_app.appliance import rescue
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import database_health
from firmware_app.core.records import Finding, Instance, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.header import examine_file
from firmware_app.uplink.outbox import Outbox
from tests import objects


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rescue", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = StateDir(Path(folder) / "state")
        state.prepare()
        fill(state, options.cases)
        path = state.clinical_db
        print(f"{options.cases} cases, {path.stat().st_size / 1e6:.1f} MB")
        checks = [timed(lambda: rescue.rescue_database(state, path)) for _ in range(options.rounds)]
        print(f"look at start        {1e3 * median(checks):7.0f} ms of processor time")
        thorough = []
        for _ in range(options.rounds):
            database_health.write_damage_note(path)
            thorough.append(timed(lambda: rescue.rescue_database(state, path)))
        print(f"thorough look        {1e3 * median(thorough):7.0f} ms of processor time")
        with path.open("r+b") as file:
            file.write(os.urandom(4096))
        print(f"rebuild, first page  {timed(lambda: rescue.rescue_database(state, path)):7.1f} s of processor time")
        path.unlink()
        print(f"rebuild, file gone   {timed(lambda: rescue.rescue_database(state, path)):7.1f} s of processor time")


def timed(action: Callable[[], object]) -> float:
    """Processor seconds, which other programs do not affect."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


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
