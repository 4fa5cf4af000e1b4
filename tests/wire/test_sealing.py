"""The box's keys under a security chip: a TPM 2.0 in software, spoken to by the same systemd-creds as a real one."""

from __future__ import annotations

import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware_app.appliance import box_identity
from firmware_app.core.errors import SealingFailed
from firmware_app.core.key_files import KeyFiles, Tpm
from hospital.hospital_site import HospitalSite
from tests.peers import need_root, peer, skip_missing_packages
from tests.wire.line_rig import free_port


@contextmanager
def chip(folder: Path) -> Iterator[Tpm]:
    """A TPM whose seed lies in *folder*; a new folder is another chip.  tss2-tcti wants the next port for control."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        [
            peer("swtpm"),
            "socket",
            "--tpm2",
            "--tpmstate",
            f"dir={folder}",
            "--server",
            f"type=tcp,port={port}",
            "--ctrl",
            f"type=tcp,port={port + 1}",
            "--flags",
            "not-need-init,startup-clear",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        _listens(port)
        yield Tpm(f"swtpm:host=127.0.0.1,port={port}")
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> None:
    """Return when somebody listens there; the chip takes one caller at a time, so nobody calls it."""
    wanted = f":{port:04X} "
    deadline = time.monotonic() + 20
    while wanted not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> HospitalSite:
    need_root()
    peer("systemd-creds")
    libraries = Path("/usr/lib")
    if not all(any(libraries.glob(f"*/libtss2-{name}.so*")) for name in ("esys", "rc", "mu", "tcti-swtpm")):
        skip_missing_packages("libtss2-esys-3.0.2-0", "libtss2-rc0", "libtss2-mu0", "libtss2-tcti-swtpm0")
    made = HospitalSite(tmp_path_factory.mktemp("hospital"))
    made.set_up("mqtt.hospital.example", 8883)
    return made


def test_sealed_keys_are_no_keys_until_their_own_chip_opens_them(house: HospitalSite, tmp_path: Path) -> None:
    keys = KeyFiles(tmp_path / "line")
    with chip(tmp_path / "chip") as own:
        made, _ = box_identity.begin_identity(keys.folder, "clinic-7", house.bundle_file, own)
        again, _ = box_identity.begin_identity(keys.folder, "clinic-7", house.bundle_file, own)
    assert again == made
    assert not keys.identity.exists()
    assert not keys.tls_key.exists()
    for file in keys.folder.iterdir():
        assert b"PRIVATE KEY" not in file.read_bytes()
    sealed = keys.sealed[0].read_bytes()
    assert stat.S_IMODE(keys.sealed[0].stat().st_mode) == 0o600
    with chip(tmp_path / "chip") as own:  # the machine was off in between
        opened = load_pem_private_key(own.unseal("identity.pem", sealed), None)
        with pytest.raises(SealingFailed, match="name"):
            own.unseal("tls.key", sealed)
    assert isinstance(opened, Ed25519PrivateKey)
    assert opened.public_key().public_bytes_raw().hex() == made.verify
    with chip(tmp_path / "another") as other, pytest.raises(SealingFailed):
        other.unseal("identity.pem", sealed)


def test_a_sealed_box_is_enrolled_as_any_other(house: HospitalSite, tmp_path: Path) -> None:
    folder = tmp_path / "line"
    with chip(tmp_path / "chip") as own:
        box_identity.begin_identity(folder, "clinic-8", house.bundle_file, own)
    _, answer = house.enrol(folder / "box.json")
    assert box_identity.complete_identity(folder, answer) == "clinic-8"  # no private key is needed for it
    uplink = box_identity.make_settings(folder)["uplink"]
    assert uplink["identity"] == "/run/credentials/lantern-uplink.service/identity.pem"
    assert uplink["tls_key"] == "/run/credentials/lantern-uplink.service/tls.key"


def test_a_chip_that_does_not_answer_leaves_no_key_behind(house: HospitalSite, tmp_path: Path) -> None:
    absent = Tpm(f"swtpm:host=127.0.0.1,port={free_port()}")
    with pytest.raises(SealingFailed):
        box_identity.begin_identity(tmp_path / "line", "clinic-9", house.bundle_file, absent)
    assert list((tmp_path / "line").iterdir()) == []
