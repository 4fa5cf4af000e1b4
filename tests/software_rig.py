"""A publisher of software, its repository, RAUC's keys and a flashed box, for tests of the channel."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from converters.publishing import software, tuf_keys
from firmware_app.appliance import software_channel, software_record, software_requests, software_service
from firmware_app.appliance.software_bundle import InstalledSystem
from firmware_app.appliance.software_channel import UpdateOffer, UpdateRequest
from firmware_app.appliance.software_offers import Ring
from firmware_app.appliance.software_requests import SoftwareRequest
from firmware_app.core import clock, run_status
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from systemd.build import disk_image, signing
from tests.peers import needed, peer

BOX = InstalledSystem("lantern-x86_64", "0.3.0", "A")
ALL = Ring(percent=100)
_CONFIG = """[system]
compatible=lantern-x86_64
bootloader=noop
bundle-formats=verity
statusfile={folder}/status

[keyring]
path={keyring}

[slot.rootfs.0]
device={folder}/slot
type=raw
bootname=A
"""

STAND_IN = """#!/bin/sh
if [ "$1" = install ]; then
    echo " 20% Verifying signature"; echo "100% Installing done."
    cp "$2" "{folder}/written" && mv "{folder}/written" "{folder}/installed" && exit $(cat "{folder}/ends")
fi
exec {rauc} --conf={config} "$@"
"""


def bundle(folder: Path, version: str, keys: signing.Keys, *, compatible: str = disk_image.COMPATIBLE) -> Path:
    """A tiny bundle as `make image` makes them, signed with *keys*."""
    needed("rauc", "mksquashfs")
    work = folder / f"work-{version}-{compatible}"
    work.mkdir(parents=True)
    for name, size in (("root.img", 300_000), ("boot.img", 50_000)):
        (work / name).write_bytes(os.urandom(size))
    path = folder / f"lantern-{version}.raucb"
    slot = disk_image.Slot(version, work / "root.img", work / "boot.img")
    disk_image.make_bundle(slot, keys, work, path, compatible)
    return path


def rauc_config(folder: Path, keys: signing.Keys) -> Path:
    """RAUC's configuration on a box that trusts *keys*."""
    path = folder / "system.conf"
    path.write_text(_CONFIG.format(folder=folder, keyring=keys.certificate))
    return path


class Channel:
    """A publisher, its repository, and a box of its own state."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys, self.repository = folder, folder / "keys", folder / "repository"
        self.root = tuf_keys.make(self.keys)
        self.state = StateDir(folder / "state")
        self.state.prepare()

    def file(self, version: str, content: bytes = b"") -> Path:
        path = self.folder / f"lantern-{version}.raucb"
        path.write_bytes(content or b"hsqs" + os.urandom(200_000))
        return path

    def publish(self, version: str, ring: Ring | None = ALL, days: int = 30) -> Path:
        path = self.file(version)
        software.publish(path, "", ring, self.repository, self.keys, days)
        return path

    def fetch(self, place: str | None = None, *, trusting: bool = True, machine: InstalledSystem = BOX) -> UpdateOffer:
        wish = UpdateRequest(place or str(self.repository), self.root if trusting else None)
        shutil.rmtree(self.state.channel / "fetched", ignore_errors=True)
        return software_channel.fetch_update(
            self.state, machine, "clinic-7", frozenset(), wish, lambda _done, _total: None
        )

    def list_files(self) -> list[str]:
        """Every file of the channel's folder but the publisher's."""
        below = self.state.channel
        files = (path.relative_to(below).as_posix() for path in below.rglob("*") if path.is_file())
        return sorted(path for path in files if not path.startswith("publisher/") and not path.startswith("."))

    def target(self, version: str) -> Path:
        (path,) = self.repository.rglob(f"targets/**/*.lantern-{version}.raucb")
        return path


class FlashedBox(Channel):
    """A flashed box with a channel, whose slots are one file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rauc = peer("rauc")  # another than the stand-in, which the test puts before it
        self.signing = signing.load_keys(folder / "signing")
        script = folder / "bin/rauc"
        script.parent.mkdir()
        script.write_text(STAND_IN.format(folder=folder, rauc=rauc, config=rauc_config(folder, self.signing)), "utf-8")
        script.chmod(0o755)
        self.set_exit_status(0)
        self.state.software.mkdir()
        self.installed = folder / "installed"

    def set_exit_status(self, status: int) -> None:
        (self.folder / "ends").write_text(str(status))

    def config(self, **software: object) -> Config:
        return Config.model_validate(
            {"box": {"id": "clinic-7"}, "state": {"dir": self.state.root}, "software": software}
        )

    def bundle(self, version: str, keys: signing.Keys | None = None) -> Path:
        made = self.folder / "made"
        shutil.rmtree(made, ignore_errors=True)
        return bundle(made, version, keys or self.signing)

    def send(self, file: Path, *, again: bool = False) -> bool:
        """What the page does with a file; True when the box would start the new version."""
        data = file.read_bytes()
        token, at = software_requests.begin_upload(self.state, file.name, len(data), 0), 0
        while at < len(data):
            at = software_requests.append_piece(self.state, token, at, data[at : at + software_requests.PIECE_BYTES])
        software_requests.finish_upload(self.state, token, len(data))
        software_requests.submit_request(self.state, SoftwareRequest("upload", again))
        return software_service.carry_out_requests(self.config(), self.state, BOX)

    def read_outcome_code(self) -> str:
        ended = software_record.read_outcome(self.state)
        assert ended is not None
        return ended.reason.code

    def record_unfit_slot(self, version: str) -> None:
        """As care/slot.py writes it down."""
        left = {"slot": "B", "version": version, "code": software_record.UNFIT, "parts": "gateway, packs"}
        run_status.write_check_result(
            self.state, "slot", {"at": clock.stamp_text(), "good": {"A": "0.3.0"}, "left": left}
        )

    def list_spool(self) -> list[str]:
        return sorted(os.listdir(self.state.software)) + self.list_files()
