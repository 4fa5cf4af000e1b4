"""How worn the disks are.  The kernel's files and smartctl's answers here were written by hand after JESD84-B51 and
smartctl's own JSON; no disk was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_app.appliance.checks import disk_wear


def emmc(block: Path, life_time: str, pre_eol_info: str) -> None:
    device = block / "mmcblk0" / "device"
    device.mkdir(parents=True)
    (device / "life_time").write_text(f"{life_time}\n", "ascii")
    (device / "pre_eol_info").write_text(f"{pre_eol_info}\n", "ascii")


@pytest.mark.parametrize(
    ("life_time", "pre_eol_info", "expected"),
    [
        ("0x01 0x02", "0x01", [("ok", "machine.wear_ok")]),
        ("0x09 0x02", "0x01", [("warn", "machine.wear_high")]),
        ("0x0b 0x02", "0x03", [("fail", "machine.wear_high"), ("warn", "machine.spare_low")]),
        ("0x00 0x00", "0x00", []),
    ],
)
def test_an_emmc_says_how_worn_it_is(
    tmp_path: Path, life_time: str, pre_eol_info: str, expected: list[tuple[str, str]]
) -> None:
    emmc(tmp_path, life_time, pre_eol_info)
    (tmp_path / "mmcblk1").mkdir()  # an SD card
    assert [(check.result, check.reason.code) for check in disk_wear.check_disks(tmp_path, None)] == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"smart_status": {"passed": True}, "nvme_smart_health_information_log": {"percentage_used": 12}},
            [("ok", "machine.smart_ok"), ("ok", "machine.wear_ok")],
        ),
        ({"smart_status": {"passed": False}}, [("fail", "machine.smart_failing")]),
        ({"smartctl": {"exit_status": 2}}, []),
    ],
)
def test_a_disk_with_smart_says_whether_it_is_failing(
    tmp_path: Path, said: object, expected: list[tuple[str, str]]
) -> None:
    for name, removable in (("nvme0n1", "0"), ("sda", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "removable").write_text(removable, "ascii")
    found = list(disk_wear.check_disks(tmp_path, lambda name: json.dumps(said)))
    assert [(check.result, check.reason.code) for check in found] == expected
    assert {check.reason.details["disk"] for check in found} <= {"nvme0n1"}, "a stick that is plugged in is not asked"
