"""The technician's handbook: every sentence of the doctor and the self-test is in it, in both languages."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from firmware_app.appliance import checks
from firmware_app.cli import command_line
from firmware_app.core.language import LANGUAGES
from tests import handbook

DOCS = Path(__file__).parents[3] / "docs"
CHECKS = Path(checks.__file__).parent
LANGUAGE_AND_FILE = [(language, DOCS / name) for language, name in handbook.FILES.items()]


def wanted() -> list[str]:
    return [code for group in handbook.list_groups().values() for code in group]


def test_there_is_one_handbook_for_each_language() -> None:
    assert set(handbook.FILES) == set(LANGUAGES)


@pytest.mark.parametrize(("language", "path"), LANGUAGE_AND_FILE)
def test_no_sentence_is_missing_stale_or_without_what_to_do(language: str, path: Path) -> None:
    assert handbook.update_chapter(path, language, write=False) == []


def test_of_every_sentence_somebody_has_said_whether_the_doctor_can_say_it() -> None:
    assert len(wanted()) > 150
    assert handbook.list_unassigned_codes() == []


def test_what_the_doctors_own_modules_register_is_in_the_handbook() -> None:
    """Not only those that fit a pattern: the code is asked what it says."""
    sources = "".join(path.read_text("utf-8") for path in CHECKS.glob("*.py"))
    spoken = set(re.findall(r'register\(\s*"([a-z_.]+)"', sources))
    assert len(spoken) > 60
    assert spoken <= set(wanted())


def test_chinese_advice_is_chinese() -> None:
    written = handbook.parse_advice((DOCS / handbook.FILES["zh_CN"]).read_text("utf-8"))
    assert [code for code, text in written.items() if not re.search("[\u4e00-\u9fff]", text)] == []


@pytest.mark.parametrize(("language", "path"), LANGUAGE_AND_FILE)
def test_a_missing_sentence_is_named_and_what_was_written_stays(language: str, path: Path, tmp_path: Path) -> None:
    text = path.read_text("utf-8")
    [entry] = re.findall(r"^\*\*.+\*\* `doctor\.gateway_silent`\\\n→ .+\n\n", text, re.MULTILINE)
    copy = tmp_path / path.name
    copy.write_text(text.replace(entry, ""), "utf-8")
    problems = handbook.update_chapter(copy, language, write=True)
    assert f"{path.name}: what to do is not written: doctor.gateway_silent" in problems
    written = handbook.parse_advice(copy.read_text("utf-8"))
    assert written.keys() == set(wanted()) - {"doctor.gateway_silent"}
    assert written.items() <= handbook.parse_advice(text).items()


@pytest.mark.parametrize(("language", "path"), LANGUAGE_AND_FILE)
def test_every_command_in_the_handbook_is_one_that_the_box_has(language: str, path: Path) -> None:
    names = set(re.findall(r"`lantern ([a-z-]+)(?: ([a-z]+))?", path.read_text("utf-8")))
    assert len(names) > 10
    known = _commands(command_line._parser())
    for name, below in names:
        assert name in known, name
        assert not below or not known[name] or below in known[name], f"{name} {below}"


@pytest.mark.parametrize(("language", "path"), LANGUAGE_AND_FILE)
def test_no_stick_is_mounted_over_another_disk_of_the_handbook(language: str, path: Path) -> None:
    text = path.read_text("utf-8")
    mounted = re.findall(r"^mount \S+ (\S+)$", text, re.MULTILINE)
    assert mounted
    for place in mounted:
        assert set(re.findall(rf"(?<!\S){place}/\S+", text)) == set(), f"{place} hides these"
        assert f"mkdir -p {place}\n" in text


def _commands(parser: argparse.ArgumentParser) -> dict[str, set[str]]:
    """Each command with the commands below it."""
    return {name: set(_choices(below)) for name, below in _choices(parser).items()}


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
