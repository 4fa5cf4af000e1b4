"""Two hundred boxes from one list: a file and a label for each, and every box enrolled at the hospital."""

from __future__ import annotations

import csv
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from firmware_app.appliance import box_identity, provisioning_file
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.appliance.provisioning_file import HospitalProof
from firmware_app.core.settings import load_config
from hospital import new_boxes
from hospital.errors import KEYS_MISSING, ROW_UNUSABLE
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox
from tests.refusals import raises_refusal

BOXES = 200


@pytest.fixture
def house(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "hospital")
    made.set_up("mqtt.hospital.example", 8883)
    return made


def command(house: HospitalSite, *arguments: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "hospital.cli", *arguments, "--dir", str(house.root), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def write_list(path: Path, encoding: str) -> Path:
    with path.open("w", encoding=encoding, newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["box", "clinic", "ae_title", "calling", "pacs_host"])
        for number in range(1, BOXES + 1):
            writer.writerow([f"clinic-{number}", f"清河镇第{number}卫生院", f"BOX{number}", "DX1;US1", "192.168.1.9"])
    return path


@pytest.mark.timeout(600)
@pytest.mark.appliance
def test_two_hundred_boxes_from_one_list_are_enrolled(house: HospitalSite, tmp_path: Path) -> None:
    boxes = command(
        house, "enrol", "--csv", str(write_list(tmp_path / "boxes.csv", "gb18030")), "--out", str(tmp_path / "o")
    )
    assert len(boxes) == len({box["code"] for box in boxes}) == BOXES
    bundles = []
    for one in boxes:
        root = tmp_path / "boxes" / one["box"]
        root.mkdir(parents=True)
        file = root / "lantern.toml"
        file.write_text(f'[state]\ndir = "{root}"\n')
        config = load_config(file, {})
        places = IdentityPaths.from_config(config, file)
        offer = provisioning_file.read_file(Path(one["file"]))
        given = provisioning_file.apply_file(offer, config, places, HospitalProof(code=one["code"]))
        assert given.config.box.id == one["box"]
        assert given.config.dicom.ae_title == one["box"].upper().replace("CLINIC-", "BOX")
        bundles.append(places.keys / "box.json")
    enrolled = command(house, "enrol", *map(str, bundles))
    assert [one["box"] for one in enrolled] == [box["box"] for box in boxes]
    inbox = Inbox(house.inbox_db)
    assert len(inbox.load_verify_keys()) == BOXES
    inbox.close()
    for one, keys in zip(enrolled, bundles, strict=True):
        assert box_identity.complete_identity(keys.parent, Path(one["enrolment"])) == one["box"]
        certificate = x509.load_pem_x509_certificate((keys.parent / "tls.crt").read_bytes())
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name.value == one["box"]
        assert box_identity.make_settings(keys.parent)["uplink"]["enabled"] is True


def test_the_sheet_names_each_box_once_and_is_not_for_everybody(house: HospitalSite, tmp_path: Path) -> None:
    rows = [(2, {"box": "clinic-1", "clinic": "<清河>"}), (3, {"box": "clinic-2", "clinic": "Two", "language": "en"})]
    made = new_boxes.write_provisioning_files(house, "l", rows, tmp_path / "o", 30)
    sheet = tmp_path / "o" / new_boxes.LABEL_SHEET
    text = sheet.read_text("utf-8")
    assert re.findall(r"class=code>([^<]+)<", text) == [one.code for one in made]
    assert text.count("<svg") == 2
    assert "&lt;清河&gt;" in text
    assert "https://lantern-clinic-2.local/" in text
    assert "One-time code" in text
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    for one in made:  # the code is nowhere but on the sheet
        assert one.code.replace("-", "") not in one.file.read_text().upper()


def test_without_keys_nothing_is_signed(tmp_path: Path) -> None:
    with raises_refusal(KEYS_MISSING):
        new_boxes.write_provisioning_files(
            HospitalSite(tmp_path / "none"), "l", [(2, {"box": "a", "clinic": "b"})], tmp_path / "o", 30
        )
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [("zone", "Mars"), ("zone", "Asia/Peking"), ("zone", "asia/shanghai"), ("box", "unprovisioned")],
)
def test_what_the_box_would_refuse_is_refused_with_its_line(
    house: HospitalSite, tmp_path: Path, column: str, value: str
) -> None:
    rows = [(2, {"box": "clinic-1", "clinic": "Q"}), (3, {"box": "clinic-2", "clinic": "Q", column: value})]
    with raises_refusal(ROW_UNUSABLE, match=f"Line 3 .*{column} = '{value}'"):
        new_boxes.write_provisioning_files(house, "l", rows, tmp_path / "o", 30)
    assert not (tmp_path / "o").exists()
