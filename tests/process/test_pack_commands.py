"""`lantern pack`, as a technician types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.cli import main as convert
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli.command_line import main as lantern
from firmware_app.core.state_dir import StateDir
from tests import made_runtime, toy_pack
from tests.publishing_rig import NAME, pack, write_checksums


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    (tmp_path / "shipped").mkdir()
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LANTERN_PACKS__DIR", str(tmp_path / "shipped"))
    monkeypatch.setenv("LANTERN_BOX__LANGUAGE", "en")
    return StateDir(tmp_path / "state")


def read_output(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[dict[str, object]]:
    capsys.readouterr()
    assert lantern(["pack", *arguments, "--json"]) == status
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_technician_needs_these_commands(tmp_path: Path, state: StateDir, capsys: pytest.CaptureFixture[str]) -> None:
    keys, place = tmp_path / "keys", tmp_path / "stick"
    assert convert(["keys", "--out", str(keys)]) == 0
    for version in ("1.0.0", "1.1.0"):
        made = pack(tmp_path / "made", version)
        assert convert(["publish", str(made), "--repository", str(place), "--keys", str(keys)]) == 0
    assert lantern(["pack", "install", NAME, "--repository", str(place)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("pack.no_publisher: ")
    to = ("install", NAME, "--repository", str(place))
    (first,) = read_output(capsys, *to, "--root", str(keys / "root.json"), "--version", "1.0.0")
    assert (first["version"], first["before"], first["age_judged"]) == ("1.0.0", None, True)
    (second,) = read_output(capsys, *to)
    assert (second["version"], second["before"], second["on_trial"]) == ("1.0.0", "1.0.0", "1.1.0")
    (listed,) = read_output(capsys, "list")
    assert listed["on_trial"] == {"version": "1.1.0", "images": 0, "same": 0, "failed": 0}
    assert lantern(["pack", "list"]) == 0
    assert "on trial: 1.1.0, 0 images of 50 so far" in capsys.readouterr().out
    assert read_output(capsys, "drop", NAME)[0]["dropped"] == "1.1.0"
    assert lantern(["pack", "commit", NAME]) == 1
    assert capsys.readouterr().err.startswith("pack.not_on_trial: ")
    assert lantern(["pack", *to]) == 0
    assert f"{NAME} 1.1.0 is on trial beside 1.0.0" in capsys.readouterr().out
    (won,) = read_output(capsys, "commit", NAME)
    assert (won["version"], won["before"]) == ("1.1.0", "1.0.0")
    one = {"name": NAME, "version": "1.1.0", "title": "Bright", "from": "installed", "weights_licence": None}
    assert read_output(capsys, "list") == [{**one, "yields_to": [], "goes_before": []}]
    (shown,) = read_output(capsys, "show", NAME)
    assert (shown["version"], shown["schema"]) == ("1.1.0", "lantern.pack/1")
    assert [one["whole"] for one in read_output(capsys, "verify")] == [True]
    model = state.packs / NAME / "fp32.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    (wrong,) = read_output(capsys, "verify", NAME, status=1)
    assert (wrong["whole"], wrong["code"]) == (False, "pack.digest")
    assert read_output(capsys, "rollback", NAME)[0]["version"] == "1.0.0"
    entries = Audit(ClinicalDatabase(state.clinical_db).database).latest(9)
    assert [entry.action.removeprefix("pack.") for entry in reversed(entries)] == [
        "installed",
        "installed",
        "dropped",
        "installed",
        "committed",
        "rolled_back",
    ]


def test_a_version_that_answers_wrongly_here_takes_no_place(
    tmp_path: Path, state: StateDir, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, place = tmp_path / "keys", tmp_path / "stick"
    assert convert(["keys", "--out", str(keys)]) == 0
    right = made_runtime.pack(tmp_path / "right", ("onnxruntime",), version="1.0.0")
    golden = [
        {**json.loads((right / "manifest.json").read_text())["golden"][0], "expected": {"fp32": {"bright": 0.01}}}
    ]
    wrong = made_runtime.pack(tmp_path / "wrong", ("onnxruntime",), version="1.1.0", golden=golden)
    to = ("install", NAME, "--repository", str(place))
    for folder, status in ((right, 0), (wrong, 1)):
        write_checksums(folder)
        assert convert(["publish", str(folder), "--repository", str(place), "--keys", str(keys)]) == 0
        capsys.readouterr()
        assert lantern(["pack", *to, "--root", str(keys / "root.json")]) == status
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("pack.not_right_here: ")
    assert "onnxruntime fp32: runtime.wrong" in refusal
    assert [one["version"] for one in read_output(capsys, "list")] == ["1.0.0"]
    assert not list(state.packs.rglob("*1.1.0*"))


@pytest.fixture
def offered(tmp_path: Path, state: StateDir) -> tuple[str, ...]:
    """What installs NAME 1.0.0, which reads what the shipped pack “shipped-adult” reads."""
    keys, place = tmp_path / "keys", tmp_path / "stick"
    toy_pack.write(tmp_path / "shipped", "shipped-adult", "adult", 18, None)
    assert convert(["keys", "--out", str(keys)]) == 0
    made = pack(tmp_path / "made", "1.0.0")
    assert convert(["publish", str(made), "--repository", str(place), "--keys", str(keys)]) == 0
    return ("install", NAME, "--repository", str(place), "--root", str(keys / "root.json"))


def test_an_installed_pack_is_removed_and_audited_and_comes_again(
    tmp_path: Path,
    state: StateDir,
    offered: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANTERN_PACKS__PREFER", NAME)
    read_output(capsys, *offered)
    assert read_output(capsys, "remove", NAME) == [{"name": NAME, "removed": "1.0.0", "version": None}]
    assert [one["name"] for one in read_output(capsys, "list")] == ["shipped-adult"]
    (newest, _) = Audit(ClinicalDatabase(state.clinical_db).database).latest(2)
    assert (newest.action, dict(newest.details)) == ("pack.removed", {"pack": NAME, "version": "", "before": "1.0.0"})
    read_output(capsys, *offered)
    assert lantern(["pack", "remove", NAME]) == 0
    assert f"{NAME} 1.0.0 is removed." in capsys.readouterr().out
