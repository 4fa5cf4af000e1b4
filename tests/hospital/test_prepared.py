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

from firmware_app.config import load
from firmware_app.device import provision, provisioning_file
from firmware_app.device.first_start import Places
from firmware_app.device.provisioning_file import Proof
from firmware_app.errors import KeysMissing
from hospital import prepare
from hospital.house import House
from hospital.inbox import Inbox

BOXES = 200


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path / "hospital")
    made.found("mqtt.hospital.example", 8883)
    return made


def command(house: House, *arguments: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "hospital.cli", *arguments, "--dir", str(house.root), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed(path: Path, encoding: str) -> Path:
    with path.open("w", encoding=encoding, newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["box", "clinic", "ae_title", "calling", "pacs_host"])
        for number in range(1, BOXES + 1):
            writer.writerow([f"clinic-{number}", f"清河镇第{number}卫生院", f"BOX{number}", "DX1;US1", "192.168.1.9"])
    return path


@pytest.mark.timeout(600)
@pytest.mark.appliance
def test_two_hundred_boxes_from_one_list_are_enrolled(house: House, tmp_path: Path) -> None:
    told = command(
        house, "enrol", "--csv", str(listed(tmp_path / "boxes.csv", "gb18030")), "--out", str(tmp_path / "o")
    )
    assert len(told) == len({one["code"] for one in told}) == BOXES
    bundles = []
    for one in told:
        root = tmp_path / "boxes" / one["box"]
        root.mkdir(parents=True)
        file = root / "lantern.toml"
        file.write_text(f'[state]\ndir = "{root}"\n')
        config = load(file, {})
        places = Places.of(config, file)
        offer = provisioning_file.read(Path(one["file"]))
        given = provisioning_file.take(offer, config, places, Proof(code=one["code"]))
        assert given.config.box.id == one["box"]
        assert given.config.dicom.ae_title == one["box"].upper().replace("CLINIC-", "BOX")
        bundles.append(places.keys / "box.json")
    enrolled = command(house, "enrol", *map(str, bundles))
    assert [one["box"] for one in enrolled] == [one["box"] for one in told]
    inbox = Inbox(house.inbox_db)
    assert len(inbox.verify_keys()) == BOXES
    inbox.close()
    for one, keys in zip(enrolled, bundles, strict=True):
        assert provision.complete(keys.parent, Path(one["enrolment"])) == one["box"]
        certificate = x509.load_pem_x509_certificate((keys.parent / "tls.crt").read_bytes())
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name.value == one["box"]
        assert provision.settings(keys.parent)["uplink"]["enabled"] is True


def test_a_sheet_that_was_printed_stays_good(house: House, tmp_path: Path) -> None:
    rows = [(number, {"box": f"clinic-{number}", "clinic": f"第{number}卫生院"}) for number in range(2, 5)]
    first = prepare.prepare(house, "l", rows, tmp_path / "o", 30)
    again = prepare.prepare(house, "l", rows, tmp_path / "o", 30)
    assert [one.kept for one in first] == [False] * 3
    assert [one.kept for one in again] == [True] * 3
    assert [one.code for one in again] == [one.code for one in first]
    elsewhere = prepare.prepare(house, "l", rows, tmp_path / "p", 30)
    assert [one.code for one in elsewhere] == [one.code for one in first]
    changed = [(2, {**rows[0][1], "ae_title": "OTHER"}), *rows[1:]]
    assert [one.kept for one in prepare.prepare(house, "l", changed, tmp_path / "o", 30)] == [False, True, True]


def test_the_sheet_names_each_box_once_and_is_not_for_everybody(house: House, tmp_path: Path) -> None:
    rows = [(2, {"box": "clinic-1", "clinic": "<清河>"}), (3, {"box": "clinic-2", "clinic": "Two", "language": "en"})]
    made = prepare.prepare(house, "l", rows, tmp_path / "o", 30)
    sheet = tmp_path / "o" / prepare.SHEET
    text = sheet.read_text("utf-8")
    assert re.findall(r"class=code>([^<]+)<", text) == [one.code for one in made]
    assert text.count("<svg") == 2
    assert "&lt;清河&gt;" in text
    assert "https://lantern-clinic-2.local/" in text
    assert "One-time code" in text
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    for one in made:  # the code is nowhere but on the sheet
        assert one.code.replace("-", "") not in one.file.read_text().upper()


def test_one_box_needs_no_list(house: House, tmp_path: Path) -> None:
    (one,) = command(
        house, "enrol", "--out", str(tmp_path), "--days", "7", "--new", "box=clinic-1", "clinic=清河卫生院"
    )
    content = provisioning_file.read(Path(one["file"])).content
    assert (content.box, content.clinic, content.ae_title) == ("clinic-1", "清河卫生院", "LANTERN")
    assert content.expires - content.made == 7 * 86_400


def test_without_keys_nothing_is_signed(tmp_path: Path) -> None:
    with pytest.raises(KeysMissing):
        prepare.prepare(House(tmp_path / "none"), "l", [(2, {"box": "a", "clinic": "b"})], tmp_path / "o", 30)
    assert not (tmp_path / "o").exists()
