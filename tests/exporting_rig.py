"""A box with one case, the hospital that it seals for, and both ways out of it: `--to` a folder, `--stick` sealed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_app.appliance import box_identity
from firmware_app.cases.audit import Audit, AuditEntry
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import user
from firmware_app.cli.command_line import main
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.results import deidentified_export as export
from firmware_app.results import sealed_case
from firmware_app.results.export_session import ExportRequest, ExportSession
from firmware_app.uplink.messages.credentials import parse_signing_key
from firmware_app.uplink.messages.encrypted_files import SealedExportWriter
from hospital import cli as hospital_cli
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests import films

Progress = Callable[[int, int], object]
STUDY = "1.2.826.0.1.3680043.9.77"


class Box:
    """A box with one case of two films by the same patient, and the account of li."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stick = folder / "stick"
        self.stick.mkdir()
        self.state = StateDir(folder / "state")
        self.state.prepare()
        self.clinical = ClinicalDatabase(self.state.clinical_db)
        self.clinical.create()
        self.case = ""
        for number in range(2):
            film = films.film(films.shapes(number), StudyInstanceUID=STUDY, PatientName="Zhang^San", PatientID="P-4711")
            self.case = self.take(films.save(folder, f"{number}.dcm", film))
        accounts = user.open_accounts(load_config())
        code = accounts.create_first_claim()
        assert code
        assert accounts.redeem(code, "li", "hash")
        accounts.database.close()

    def take(self, path: Path) -> str:
        door = ImageIntake(self.state, self.clinical, high_water_free_mb=1, max_object_mb=64)
        instance = door.accept_file(path).instance
        (row,) = self.clinical.database.connection.execute(
            "SELECT case_reference FROM instances WHERE reference = ?", (instance,)
        )
        return str(row[0])

    def run(
        self, *more: str, case: str | None = None, person: str = "li", way: str = "--to", to: Path | None = None
    ) -> int:
        where = [way] if way == "--fhir-server" else [way, str(to or self.stick)]
        return main(["case", "export", case or self.case, *where, "--person", person, "--looked", *more])

    def seal(self, onto: Path | None = None, on_progress: Progress = lambda *_: None) -> Path | None:
        """The file with the case in it; raises what goes wrong."""
        return self.export("--stick", on_progress, onto).written

    def export(
        self, way: str = "--to", on_progress: Progress = lambda *_: None, to: Path | None = None
    ) -> ExportSession:
        """What `run` does, without the command: raises what goes wrong, and tells *on_progress*."""
        request = ExportRequest(
            config=load_config(),
            clinical=self.clinical,
            case=self.case,
            person="li",
            to=to or self.stick,
            looked=True,
            on_progress=on_progress,
        )
        return {"--to": export.export_folder, "--stick": sealed_case.seal_case}[way](request)

    def read_export_audit(self) -> list[AuditEntry]:
        entries = reversed(Audit(self.clinical.database).latest(99))
        return [entry for entry in entries if entry.action.startswith("export.")]

    @property
    def actions(self) -> list[str]:
        return [entry.action for entry in self.read_export_audit()]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LANTERN_BOX__LANGUAGE", "en")
    monkeypatch.setenv("LANTERN_EXPORT__ENABLED", "true")
    return Box(tmp_path)


BOX = "clinic-7"


@pytest.fixture
def house(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HospitalSite:
    """The hospital at which the box is enrolled."""
    return enrol_box(box, tmp_path / "hospital", monkeypatch)


def enrol_box(box: Box, folder: Path, monkeypatch: pytest.MonkeyPatch) -> HospitalSite:
    """A new hospital in *folder*, at which the box is enrolled."""
    made = HospitalSite(folder)
    made.set_up("localhost", 8883)
    box_identity.begin_identity(box.state.line_keys, BOX, made.bundle_file)
    made.enrol(box.state.line_keys / "box.json")
    for section, values in box_identity.make_settings(box.state.line_keys).items():
        for key, value in values.items():
            if value is not None:
                monkeypatch.setenv(f"LANTERN_{section}__{key}".upper(), str(value))
    monkeypatch.setenv("LANTERN_UPLINK__ENABLED", "false")
    return made


def export_sealed(box: Box, *more: str) -> Path:
    """The file that the command leaves."""
    assert box.run(*more, way="--stick") == 0
    (left,) = box.stick.iterdir()
    return left


def write_sealed_case(box: Box, house: HospitalSite, *names: str) -> Path:
    """A file that the box sealed, with empty ones of these names in it: the same without the work of an export."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names or (f"{box.case}/00001.dcm", f"{box.case}/{export.MANIFEST}"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    return write_sealed(box, house, packed.getvalue())


def write_sealed(box: Box, house: HospitalSite, content: bytes) -> Path:
    """A file that the box sealed over *content*, whatever that is."""
    keys, identity = keyring.load_keys(house.keys), KeyFiles(box.state.line_keys).identity
    file = box.folder / f"{box.case}{sealed_case.SUFFIX}"
    with file.open("xb") as handle:
        sealer = SealedExportWriter(
            handle, BOX, parse_signing_key(identity.read_bytes()), keys.private[keys.current].public_key()
        )
        sealer.write(content)
        sealer.finish()
    return file


def open_export(house: HospitalSite, file: Path, out: Path) -> int:
    out.mkdir(exist_ok=True)
    return hospital_cli.main(["open", str(file), "--out", str(out), "--dir", str(house.root)])
