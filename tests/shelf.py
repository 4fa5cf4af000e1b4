"""A box as it comes from the shelf, and the file that a hospital has prepared for it."""

from __future__ import annotations

from pathlib import Path

from firmware_app.appliance import provisioning_file, provisioning_request, provisioning_service
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.appliance.provisioning_file import HospitalProof
from firmware_app.appliance.provisioning_request import FirstRequest, FirstResult
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir
from hospital import new_boxes
from hospital.hospital_site import HospitalSite
from hospital.new_boxes import PreparedBox

CLINIC = {"box": "clinic-7", "clinic": "清河卫生院", "calling": "DX1;US1", "pacs_host": "192.168.1.9"}


def prepare_box(house: HospitalSite, out: Path, days: int = 30, **columns: str) -> PreparedBox:
    (made,) = new_boxes.write_provisioning_files(house, "list.csv", [(2, {**CLINIC, **columns})], out, days)
    return made


class Box:
    """A box as it comes from the shelf: software, and nothing that makes it this or that box."""

    def __init__(self, root: Path, more: str = "") -> None:
        self.root, self.file = root, root / "etc" / "lantern.toml"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(f'[state]\ndir = "{root / "state"}"\n[dicom]\nport = 0\n{more}')
        self.state = StateDir(root / "state")
        self.state.prepare()

    @property
    def config(self) -> Config:
        return load_config(self.file, {})

    @property
    def places(self) -> IdentityPaths:
        return IdentityPaths.from_config(self.config, self.file)

    def accept_file(self, file: Path, proof: HospitalProof | None = None) -> str:
        offer = provisioning_file.read_file(file)
        return provisioning_file.apply_file(offer, self.config, self.places, proof).made.encode().decode()

    def process_request(self) -> FirstResult:
        """Root's answer to the request that waits."""
        made = provisioning_service.answer_request(self.config, self.places)
        assert made is not None
        return made

    def ask(self, request: FirstRequest) -> FirstResult:
        """What root answers to *request* of the first page."""
        self.state.provision.mkdir(exist_ok=True)
        provisioning_request.submit_request(self.state, request)
        return self.process_request()

    def read_files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}
