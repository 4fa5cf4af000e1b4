"""`lantern doctor` where Lantern has never run: it looks, makes nothing, and sends nobody the wrong way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import command_line
from firmware_app.core.state_dir import StateDir
from tests.peers import need_root


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


def test_a_place_where_no_state_can_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "file" / "lantern"))
    assert command_line.main(["doctor"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("store.unusable: ")
    assert "Not a directory" in said


def test_a_box_that_stands_still_is_started_as_it_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On an installed box `lantern serve` would run everything as root, beside the units."""
    checks = run_doctor(tmp_path, monkeypatch, capsys)
    for process in ("gateway", "reader", "viewer"):
        (sentence,) = checks[process]
        assert sentence.index("systemctl start lantern.target") < sentence.index("lantern serve")


@pytest.mark.parametrize("command", ["doctor", "audit verify"])
def test_whoever_may_not_look_into_the_state_is_told_to_use_sudo(tmp_path: Path, command: str) -> None:
    """An installed box shows its state to nobody else; a technician logs in as a plain user."""
    need_root()
    script = (
        "import os, sys\n"
        "from firmware_app.cli import command_line as cli\n"
        "def quiet(words):\n"
        "    out = os.dup(1); os.dup2(os.open(os.devnull, os.O_WRONLY), 1); cli.main(words); os.dup2(out, 1)\n"
        "quiet(sys.argv[1:])\n"  # a plain user may not read the tester's own Python: all is loaded by now
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    state = StateDir(tmp_path / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    clinical.database.close()
    environment = {**os.environ, "LANTERN_STATE__DIR": str(state.root), "LANTERN_BOX__LANGUAGE": "en"}
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("store.forbidden: ")
    assert "sudo" in done.stderr
