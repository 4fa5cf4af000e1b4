"""Write down a small state of this version.  A later version runs this file of the commit from which it upgrades.

    python -m tests.upgrades.make STATE.json

Nothing in it is of a person: the film and the picture are made by code.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patient, Patients
from firmware_app.core import settings as config
from firmware_app.core.records import Finding, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.outbox import Outbox
from tests import objects, toy_pack


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = StateDir(Path(folder) / "state")
        state.prepare()
        _fill(state, Path(folder))
        pack = toy_pack.write(Path(folder), "toy-child", "children", 1, 5)
        files = [path for root in (state.images, pack) for path in sorted(root.rglob("*")) if path.is_file()]
        files.append(state.clinical_db.with_name("references.key"))
        written = {
            "databases": {f"{path.parent.name}/{path.name}": _dump_database(path) for path in state.databases},
            "files": {
                str(
                    path.relative_to(state.root if path.is_relative_to(state.root) else Path(folder))
                ): base64.b64encode(path.read_bytes()).decode()
                for path in files
            },
            "config": config.describe_config(config.Config()),
        }
    text = json.dumps(written, indent=1, ensure_ascii=False) + "\n"
    Path(sys.argv[1]).write_text(text.replace(f"{folder}/", ""), "utf-8")


def _fill(state: StateDir, folder: Path) -> None:
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    (folder / "film.dcm").write_bytes(objects.file_of(objects.film(study="1.2.3", sop_instance="1.2.4")))
    body = bytes(64)
    header = b"BM" + (14 + len(body)).to_bytes(4, "little") + bytes(4) + (14).to_bytes(4, "little")
    (folder / "picture.bmp").write_bytes(header + body)
    door = ImageIntake(state, clinical, 1, 64)
    for name in ("film.dcm", "picture.bmp"):
        door.accept_file(folder / name)
    _read_all(clinical)
    clinical.close_revisions(-1, report=Outbox(clinical.database).put)
    case = next(one.reference for one in clinical.load_cases() if one.reference and one.modality)
    Patients(clinical, state).correct(case, Patient(name="Nobody", age="003Y"), "doctor")
    _read_all(clinical)  # again, by the corrected age
    CaseLists(clinical).judge(case, "pneumonia", "disagree", "doctor")
    CaseLists(clinical).finish(case, "doctor")
    exchange = Exchange(state.exchange_db)
    exchange.create()
    exchange.take_in(Outbox(clinical.database).list_waiting(1))
    exchange.keep_keys("verify", 3, b"signed")
    accounts = Accounts(state.accounts_db)
    accounts.create()
    accounts.add("Doctor", Role.DOCTOR)
    accounts.set_password("doctor", "$argon2id$hash")
    accounts.add("left", Role.TECHNICIAN)
    accounts.disable("left")
    for one in (clinical, exchange, accounts):
        one.database.close()


def _read_all(clinical: ClinicalDatabase) -> None:
    while (claim := clinical.claim()) is not None:
        finding = Finding("pneumonia", {"en": "Pneumonia", "zh_CN": "肺炎"}, 0.9, 0.5)
        reading = Reading(
            Scope.INSTANCE,
            (claim.instance.reference,),
            ReadingStatus.READ,
            None,
            PackIdentity("toy-child", "1.0.0", "onnxruntime", "int8"),
            Timing(1, 2, 3),
            (finding,),
        )
        clinical.finish(claim.instance, reading, Priority.URGENT)


def _dump_database(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return [*connection.iterdump(), f"PRAGMA user_version={version};"]


if __name__ == "__main__":
    main()
