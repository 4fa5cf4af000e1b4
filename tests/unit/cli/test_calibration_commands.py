"""`lantern calibration` and what `lantern status` says of it: a register in, figures out, a threshold by two people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import user
from firmware_app.cli.command_line import main
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir
from tests import toy_pack
from tests.local_films import FINDING, MACHINE, PLACE, binormal, read_image

AT = ("toy-child", MACHINE.digest)


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box that has read 120 films, and a register with their outcomes."""
    toy_pack.write(tmp_path / "packs", "toy-child", "children", 1, 5)
    for name, value in (
        ("STATE__DIR", tmp_path / "state"),
        ("PACKS__DIR", tmp_path / "packs"),
        ("BOX__LANGUAGE", "en"),
    ):
        monkeypatch.setenv(f"LANTERN_{name}", str(value))
    state = StateDir(tmp_path / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    lines = [
        f"{read_image(clinical, number, score)},{int(truth)}"
        for number, (score, truth) in enumerate(binormal(120, 0.9))
    ]
    clinical.database.close()
    accounts = user.open_accounts(load_config())
    accounts.add("Li", Role.DOCTOR)
    accounts.add("Wang", Role.TECHNICIAN)
    path = tmp_path / "register.csv"
    path.write_text("病例,结果\n" + "\n".join(lines) + "\n", "gb18030")
    return path


def read_output(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    assert main(["calibration", *arguments, "--json"]) == status
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_from_a_register_to_a_threshold_in_force_and_back(register: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (taken,) = read_output(capsys, "import", str(register), "--account", "li", "--complete")
    assert taken == {"added": 120, "known": 0, "suspended": []}
    (shown,) = read_output(capsys, "show")
    assert (shown["state"], shown["finding"], shown["figures"]["confirmed"]) == ("provisional", FINDING, 120)
    (proposed,) = read_output(capsys, "propose", *AT, "--account", "wang", "--miss-costs", "20")
    assert proposed["agreed"] == {"technician": "Wang"}
    (agreed,) = read_output(capsys, "confirm", *AT, "--account", "li", "--content", proposed["content"])
    assert agreed == {"in_force": True, "threshold": proposed["threshold"]}
    (shown,) = read_output(capsys, "show", "--cautious")
    assert (shown["state"], shown["threshold"]) == ("calibrated", proposed["threshold"])
    (undone,) = read_output(capsys, "undo", *AT, "--account", "li")
    assert (undone["state"], undone["threshold"]) == ("provisional", 0.5)


def test_a_threshold_set_without_confirmed_results_is_shown_and_taken_back(
    register: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_pack.set_usual_scores(register.parent / "packs" / "toy-child")
    clinical = ClinicalDatabase(StateDir(register.parent / "state").clinical_db)
    read_image(clinical, 120, 0.5, following=True)
    clinical.database.close()
    (shown,) = read_output(capsys, "show")
    assert (shown["state"], shown["own_threshold"], shown["unlabelled"]["films"]) == ("provisional", 0.5, 100)
    assert shown["threshold"] != 0.5
    assert main(["calibration", "show"]) == 0
    said = "Threshold set from 100 films of this machine, without confirmed results; the model's own: 0.5000"
    assert said in capsys.readouterr().out
    (undone,) = read_output(capsys, "undo", *AT, "--account", "wang")
    assert (undone["threshold"], undone["unlabelled"]) == (0.5, None)


def test_a_register_with_one_bad_line_is_named_by_line_and_changes_nothing(
    register: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register.write_text(register.read_text("gb18030") + "c-none,1\n", "utf-8")
    lines = read_output(capsys, "import", str(register), "--account", "li", status=1)
    assert (lines[0]["line"], lines[0]["error"]["code"]) == (122, "outcomes.no_such_case")
    assert lines[1]["error"]["code"] == "calibration.outcomes"
    assert read_output(capsys, "show")[0]["figures"]["confirmed"] == 0


def test_status_says_the_state_and_names_no_machine(register: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--json"])
    (row,) = json.loads(capsys.readouterr().out)["calibration"]
    assert (row["pack"], row["version"], row["state"], row["read"]) == (PLACE.pack, PLACE.version, "provisional", 120)
    assert MACHINE.name not in str(row)


def test_an_account_that_is_not_there_confirms_nothing(register: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (refused,) = read_output(capsys, "import", str(register), "--account", "nobody", status=1)
    assert refused["error"]["code"] == "account.unknown"
