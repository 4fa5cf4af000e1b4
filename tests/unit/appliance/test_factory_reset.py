"""A factory reset: nothing of the clinic is left, a cut in the middle is finished, and a half box never starts."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import backup, box_identity, factory_reset, locked_backup, preparation
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import command_line
from firmware_app.core import run_status
from firmware_app.core.errors import RESET_UNFINISHED, StateUnusable
from firmware_app.core.programs import ProgramMissing
from firmware_app.core.settings import Config, describe_config, load_config
from firmware_app.core.state_dir import StateDir
from tests.local_films import create_database as clinic
from tests.peers import need_root
from tests.refusals import raises_refusal

PIXELS = secrets.token_bytes(4096)


class Installed:
    """A box in two folders, as a clinic has it, with a second disk and a locked backup."""

    def __init__(self, folder: Path) -> None:
        need_root()
        self.etc, self.state = folder / "etc", StateDir(folder / "state")
        self.file = self.etc / "lantern.toml"
        self.second, self.locked = folder / "second", folder / "clinic"
        for one in (self.etc, self.second, self.locked):
            one.mkdir()
        self.state.prepare()
        clinical = clinic(self.state.root)
        clinical.admit(path="1", file="images/ab/abcd.dcm", sha256="ab", size=1, header=None, association=None)
        clinical.database.close()
        accounts = Accounts(self.state.accounts_db)
        accounts.create()
        accounts.redeem(accounts.add("li", Role.DOCTOR), "li", "a hash")
        accounts.database.close()
        (self.state.images / "ab").mkdir()
        (self.state.images / "ab" / "abcd.dcm").write_bytes(PIXELS)
        box_identity.make_keys(self.state.line_keys, "clinic-7")
        self.pacs_key = self.etc / "pacs.key"
        self.pacs_key.write_text("secret")
        (self.etc / "hospital.json").write_text("{}")  # installed with the software
        (self.etc / "provisioned.json").write_text("{}")
        locked_backup.make_recovery_code(self.state)
        config = Config.model_validate(
            {
                "box": {"id": "clinic-7", "name": "West", "language": "en"},
                "state": {"dir": str(self.state.root)},
                "viewer": {"host": "127.0.0.1", "behind_front": True},
                "pacs": {"tls_key": str(self.pacs_key)},
                "backup": {"dir": str(self.second), "locked": str(self.locked)},
                "retention": {"high_water_free_mb": 16, "ballast_mb": 0},
            }
        )
        self.file.write_text(describe_config(config))
        (self.second / "000001").mkdir()
        (self.second / "000001" / "clinical.db").write_bytes(b"names")
        (self.second / "photos").write_bytes(b"not ours")
        (self.locked / "sets").mkdir()

    def reset(self) -> factory_reset.ResetOutcome:
        return factory_reset.reset(load_config(self.file, {}), self.file, self.state)

    def left(self) -> list[str]:
        places = (self.state.root, self.etc, self.second, self.locked)
        return sorted(f"{place.name}/{path.relative_to(place)}" for place in places for path in place.rglob("*"))


GONE = [
    "clinic/sets",
    "etc/hospital.json",
    "etc/lantern.toml",
    "second/photos",
    "state/run",
    "state/run/factory_reset.json",
]


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither systemctl nor cryptsetup of the machine that runs the tests."""

    def absent(*command: str, **_options: object) -> bytes:
        raise ProgramMissing(f"{command[0]}: not installed")

    monkeypatch.setattr("firmware_app.core.programs.run_program", absent)
    monkeypatch.setattr("firmware_app.cli.factory_reset._SYSTEMD", Path("/nonexistent"))


@pytest.fixture
def box(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def test_nothing_of_the_clinic_is_left_and_what_stays_is_told(box: Installed) -> None:
    outcome = box.reset()
    assert box.left() == GONE
    config = load_config(box.file, {})
    assert (config.box.id, config.backup.locked, config.pacs.tls_key) == ("unprovisioned", None, None)
    assert (config.state.dir, config.viewer.behind_front) == (box.state.root, True)
    assert (outcome.plan.box, outcome.plan.locked, outcome.backup_left) == ("clinic-7", str(box.locked), False)


def test_the_audit_of_the_new_box_begins_with_it(box: Installed) -> None:
    box.reset()
    box.state.prepare()
    assert preparation.migrate_databases(box.state)
    assert preparation.migrate_databases(box.state)
    with closing(ClinicalDatabase(box.state.clinical_db).database) as database:
        rows = database.connection.execute("SELECT action, details FROM audit").fetchall()
    assert [(row["action"], json.loads(row["details"])["box"]) for row in rows] == [("box.reset", "clinic-7")]


CUTS = ["_destroy", "_first_settings", "_delete_ring", "_delete", "write_atomically"]


@pytest.mark.parametrize("step", CUTS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_cut_at_any_step_leaves_no_box_that_starts_and_is_finished(
    box: Installed, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    whole, before = getattr(factory_reset, step), box.left()
    monkeypatch.setattr(factory_reset, step, failing(whole, times))
    try:
        box.reset()
    except StateUnusable:
        if factory_reset.is_begun(box.state):
            with raises_refusal(RESET_UNFINISHED):
                box.state.prepare()
            with raises_refusal(RESET_UNFINISHED), run_status.hold_process_lock(box.state, "uplink"):
                pass
            with raises_refusal(RESET_UNFINISHED):
                backup.run(load_config(box.file, {}))
        else:
            assert box.left() == before
        monkeypatch.setattr(factory_reset, step, whole)
        assert box.reset().plan.box == "clinic-7", "also when the settings are gone"
    else:
        assert times == 3, "a step that is not done three times"
    assert box.left() == GONE
    box.state.prepare()


def failing(step: Callable[..., Any], times: int) -> Callable[..., Any]:
    calls = 0

    def run(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times:
            raise OSError(5, "the power is gone")
        return step(*arguments)

    return run


def test_the_keys_go_before_anything_else(box: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(*_: object) -> None:
        assert not any(path.is_file() for path in box.state.line_keys.rglob("*"))
        assert not (box.state.clinical_db.parent / "references.key").exists()
        assert not box.pacs_key.exists()
        assert (box.state.images / "ab" / "abcd.dcm").read_bytes() == PIXELS
        raise OSError(5, "stop here")

    monkeypatch.setattr(factory_reset, "_first_settings", first)
    with pytest.raises(StateUnusable):
        box.reset()


def test_a_backup_whose_disk_is_not_there_is_told(box: Installed) -> None:
    for one in (box.second / "000001" / "clinical.db", box.second / "photos"):
        one.unlink()
    (box.second / "000001").rmdir()
    box.second.rmdir()
    assert box.reset().backup_left


def test_only_whoever_types_the_boxs_id_deletes_it(
    box: Installed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = box.left()
    monkeypatch.setattr("sys.stdin", io.StringIO("clinic-8\n"))
    assert command_line.main(["factory-reset", "--config", str(box.file)]) == 1
    assert "care.reset_name" in capsys.readouterr().err
    assert box.left() == before
    monkeypatch.setattr("sys.stdin", io.StringIO("clinic-7\n"))
    assert command_line.main(["factory-reset", "--config", str(box.file)]) == 0
    said = capsys.readouterr().out
    assert f"encrypted backups in {box.locked}" in said
    assert "clinic-7" in said
    assert box.left() == GONE


def test_a_box_that_runs_is_not_deleted(box: Installed) -> None:
    before = box.left()
    with run_status.hold_process_lock(box.state, "gateway"):
        assert command_line.main(["factory-reset", "--yes", "--config", str(box.file)]) == 1
    assert [name for name in box.left() if not name.endswith(".lock")] == before


# --- the volume's key -------------------------------------------------------------------------------------------------


def tree(name: str, fstype: str | None = None, *below: Any, mounted: str | None = None) -> dict[str, Any]:
    return {"name": name, "fstype": fstype, "mountpoints": [mounted], "children": list(below)}


IMAGE = {"blockdevices": [tree("/dev/mapper/var", "ext4", tree("/dev/sda5", "crypto_LUKS", tree("/dev/sda")))]}
"""As `lsblk --inverse` says it of the flashed box."""
LVM = {
    "blockdevices": [
        tree("/dev/mapper/vg-var", "ext4", tree("/dev/mapper/crypt", "LVM2_member", tree("/dev/sda3", "crypto_LUKS")))
    ]
}


def test_the_encrypted_device_below_the_state_is_found() -> None:
    assert factory_reset.find_luks(IMAGE) == "/dev/sda5"
    assert factory_reset.find_luks(LVM) == "/dev/sda3"
    assert factory_reset.find_luks({"blockdevices": [tree("/dev/sda2", "ext4", tree("/dev/sda"))]}) is None


def test_a_volume_that_the_machine_itself_lives_on_is_not_erased() -> None:
    alone = tree("/dev/sda5", None, tree("/dev/mapper/var", None, mounted="/var"))
    root = tree("/dev/sda3", None, tree("/dev/mapper/root", None, mounted="/"), tree("/dev/mapper/var", mounted="/var"))
    assert not factory_reset.holds_system({"blockdevices": [alone]})
    assert factory_reset.holds_system({"blockdevices": [root]})


def test_its_keyslots_are_erased_by_cryptsetup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def answer(*command: str, **_options: object) -> bytes:
        asked.append(command)
        if command[0] == "findmnt":
            return b"/dev/mapper/var[/lib]\n"
        if command[0] == "lsblk":
            return json.dumps(IMAGE if "--inverse" in command else {"blockdevices": [tree("/dev/sda5")]}).encode()
        return b""

    monkeypatch.setattr("firmware_app.core.programs.run_program", answer)
    assert factory_reset.erase_volume_key(tmp_path) == "/dev/sda5"
    assert asked[-2:] == [
        ("cryptsetup", "isLuks", "--type", "luks2", "/dev/sda5"),
        ("cryptsetup", "--batch-mode", "erase", "/dev/sda5"),
    ]


def test_where_nothing_is_encrypted_nothing_is_erased(tmp_path: Path) -> None:
    assert factory_reset.erase_volume_key(tmp_path) is None
