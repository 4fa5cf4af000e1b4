"""Whom udev wakes for what is plugged in: the rules on paper, event by event (for real: faults/test_stick_units.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import pytest

from tests.peers import REPOSITORY

RULES = (REPOSITORY / "systemd" / "udev" / "90-lantern-usb.rules").read_text("utf-8")
WORD = re.compile(r'([A-Z_]+(?:\{[^}]*\})?)(==|!=|\+=|=)"((?:[^"\\]|\\.)*)"')
SET = ("GOTO", "LABEL", "TAG", "RUN", "OWNER", "GROUP", "MODE", "SYMLINK")
STICK = {"SUBSYSTEM": "block", "KERNEL": "sdb1", "ACTION": "add", "ATTR{size}": "8192", "ENV{ID_BUS}": "usb"}
DISC = {**STICK, "KERNEL": "sr0", "ENV{DEVTYPE}": "disk", "ENV{ID_CDROM}": "1"}
CHANGED = {"ACTION": "change", "ENV{DISK_MEDIA_CHANGE}": "1"}
MEDIA = {"ENV{ID_CDROM_MEDIA}": "1", "ENV{ID_FS_USAGE}": "filesystem"}
AFRESH = "restart lantern-mount@%k.service lantern-import@%k.service"
LET_GO = "stop lantern-mount@%k.service"


@dataclass
class RuleResult:
    """What the rules say to one event."""

    wants: str = ""
    runs: list[str] = field(default_factory=list)


def apply_rules(event: Mapping[str, str]) -> RuleResult:
    """udev(7), as far as these rules go."""
    answer, skip_to = RuleResult(), ""
    for line in RULES.splitlines():
        words = WORD.findall(line) if not line.startswith("#") else []
        labels = [value for key, _, value in words if key == "LABEL"]
        if skip_to:
            skip_to = "" if skip_to in labels else skip_to
            continue
        if not all(_holds(event, *word) for word in words):
            continue
        for key, sign, value in words:
            if key == "GOTO":
                skip_to = value
            elif key == "RUN":
                answer.runs.append(value)
            elif key == "ENV{SYSTEMD_WANTS}" and sign == "+=":
                answer.wants = value
    assert not skip_to, "a label is missing"
    return answer


def _holds(event: Mapping[str, str], key: str, sign: str, pattern: str) -> bool:
    if sign in ("=", "+="):
        return True
    matches = any(fnmatchcase(event.get(key, ""), part) for part in pattern.split("|"))
    return matches == (sign == "==")


def runs(event: Mapping[str, str]) -> list[str]:
    return [run.partition("--no-block ")[2] for run in apply_rules(event).runs]


def test_every_word_of_the_rules_is_understood_here() -> None:
    for line in RULES.splitlines():
        if line and not line.startswith("#"):
            assert WORD.sub("", line).strip(", ") == "", line
            for key, sign, _ in WORD.findall(line):
                assert sign in ("==", "!=") or key in SET or key.startswith("ENV{"), key


@pytest.mark.parametrize(
    "event",
    [
        STICK,
        {**STICK, "KERNEL": "sdb", "ENV{DEVTYPE}": "disk", "ENV{ID_FS_USAGE}": "filesystem"},
        {**STICK, "ENV{ID_BUS}": "", "ENV{LANTERN_STICK}": "1"},
        {**DISC, **MEDIA},
        {**DISC, **MEDIA, **CHANGED},
    ],
)
def test_a_stick_a_card_and_a_disc_wake_the_importer(event: dict[str, str]) -> None:
    assert apply_rules(event).wants == "lantern-import@%k.service"


@pytest.mark.parametrize(
    "event",
    [
        {**STICK, "ACTION": "remove"},
        {**STICK, "ENV{ID_BUS}": "ata"},
        {**STICK, "ATTR{size}": "0"},
        {**STICK, "ENV{SYSTEMD_READY}": "0"},
        {**STICK, "KERNEL": "sdb", "ENV{DEVTYPE}": "disk", "ENV{ID_PART_TABLE_TYPE}": "gpt"},
        {**STICK, "ENV{ID_PART_ENTRY_TYPE}": "c12a7328-f81f-11d2-ba4b-00c04fd93e3b"},
        DISC,
        {**DISC, **CHANGED, "ENV{SYSTEMD_READY}": "0"},
        {**DISC, "ACTION": "change", "ENV{DISK_EJECT_REQUEST}": "1"},
    ],
)
def test_what_is_out_empty_built_in_or_no_file_system_wakes_nobody(event: dict[str, str]) -> None:
    assert apply_rules(event) == RuleResult()


def test_every_disc_that_is_put_in_is_begun_afresh_and_nothing_else_is() -> None:
    assert runs({**DISC, **MEDIA, **CHANGED}) == [AFRESH]
    for other in (
        {**DISC, **MEDIA},
        {**DISC, **MEDIA, "ACTION": "change"},
        {**STICK, **CHANGED, "ENV{ID_FS_USAGE}": "filesystem"},
    ):
        assert runs(other) == []


def test_a_card_that_is_taken_out_of_its_reader_is_let_go() -> None:
    card = {**STICK, "KERNEL": "sdb", "ENV{DEVTYPE}": "disk"}
    assert runs({**card, **CHANGED, "ATTR{size}": "0"}) == [LET_GO]
    assert runs({**card, "ATTR{size}": "0"}) == []
