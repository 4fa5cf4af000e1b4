"""`lantern doctor` where Lantern has never run: it looks, makes nothing, and sends nobody the wrong way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_app.cli import command_line


def run_doctor(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, list[str]]:
    """The results and English sentences of each check."""
    monkeypatch.setenv("LANTERN_STATE__DIR", str(folder))
    capsys.readouterr()
    assert command_line.main(["doctor", "--json"]) == 1
    checks: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        line_of = json.loads(line)
        checks.setdefault(line_of["check"], []).append(
            f"{line_of['result']} {line_of['code']} {line_of['texts']['en']}"
        )
    return checks


def test_a_state_that_is_not_there_is_told_as_such_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = run_doctor(tmp_path / "var" / "lantern", monkeypatch, capsys)
    (state,) = checks["state"]
    assert state.startswith("warn doctor.state_none ")
    assert str(tmp_path / "var" / "lantern") in state
    assert "mounted" in state, "an empty machine, or a disk that is not there: the doctor cannot know"
    assert list(tmp_path.iterdir()) == []


def test_a_box_that_stands_still_is_started_as_it_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On an installed box `lantern serve` would run everything as root, beside the units."""
    checks = run_doctor(tmp_path, monkeypatch, capsys)
    for process in ("gateway", "reader", "viewer"):
        (sentence,) = checks[process]
        assert sentence.index("systemctl start lantern.target") < sentence.index("lantern serve")
