"""`lantern user` and `lantern audit`: codes and never passwords, and every command in the audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import user
from firmware_app.cli.command_line import main
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LANTERN_BOX__LANGUAGE", "en")
    return StateDir(tmp_path / "state")


def read_output(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    assert main([*arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_accounts_are_made_with_codes_and_never_with_passwords(
    state: StateDir, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = read_output(capsys, "user", "claim")
    accounts = user.open_accounts(load_config())
    assert accounts.redeem(first["code"], "li", "hash")
    assert main(["user", "claim"]) == 1
    capsys.readouterr()
    (added,) = read_output(capsys, "user", "add", "wang", "--role", "auditor")
    assert accounts.find_claim(added["code"]) is not None
    (renewed,) = read_output(capsys, "user", "passwd", "wang")
    assert accounts.find_claim(added["code"]) is None
    assert accounts.find_claim(renewed["code"]) is not None
    assert read_output(capsys, "user", "disable", "wang") == []
    assert accounts.find_claim(renewed["code"]) is None
    assert [(one["name"], one["role"], one["state"]) for one in read_output(capsys, "user", "list")] == [
        ("li", "doctor", "in use"),
        ("wang", "auditor", "disabled"),
    ]
    entries = Audit(ClinicalDatabase(state.clinical_db).database).latest(9)
    assert [(entry.actor, entry.action) for entry in reversed(entries)] == [
        ("console", action) for action in ("claim.issued", "user.added", "user.renewed", "user.disabled")
    ]
    assert added["code"] not in str(entries)
    accounts.database.close()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("passwd", "nobody"), "account.unknown"),
        (("disable", "nobody"), "account.unknown"),
        (("add", "<x>"), "account.name"),
    ],
)
def test_a_refusal_is_one_sentence_that_does_not_repeat_what_was_typed(
    state: StateDir, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: str
) -> None:
    assert main(["user", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith(code)
    assert arguments[1] not in said


def test_the_audit_is_verified_against_a_head_that_someone_was_told(
    state: StateDir, capsys: pytest.CaptureFixture[str]
) -> None:
    read_output(capsys, "user", "claim")
    (verified,) = read_output(capsys, "audit", "verify")
    assert verified["whole"]
    read_output(capsys, "user", "claim")
    assert read_output(capsys, "audit", "verify", "--expect", verified["head"])[0]["whole"]
    assert main(["audit", "verify", "--expect", f"2:{'1' * 64}"]) == 1
    assert "1111" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["audit", "verify", "--expect", "rubbish"])
