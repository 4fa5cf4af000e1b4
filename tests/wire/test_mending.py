"""A supervisor whose rescue fails: it lives, says why, tries again, and what is not concerned goes on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from firmware_app.core.state_dir import StateDir
from tests.box import run_box, run_lantern


def test_accounts_that_cannot_be_rebuilt_keep_nobody_from_sending_images_and_are_mended_later(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert run_lantern(tmp_path, "user", "add", "li").returncode == 0
    state.accounts_db.write_bytes(b"no database at all\n" * 500)
    hindrance = state.accounts_db.parent / "damaged"
    hindrance.touch()  # a file where the rescue needs a folder
    with run_box(tmp_path) as box:
        gateway = box.wait_event("ready", "gateway")
        with socket.create_connection(("127.0.0.1", gateway["port"]), 5):
            pass
        assert "accounts.db cannot be rebuilt" in run_lantern(tmp_path, "doctor").stdout
        hindrance.unlink()
        box.wait_event("ready", "viewer")
        assert "accounts.db cannot be rebuilt" not in run_lantern(tmp_path, "doctor").stdout


@pytest.mark.slow
def test_a_clinical_database_that_cannot_be_rebuilt_does_not_end_the_box(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    state.clinical_db.write_bytes(b"no database at all\n" * 500)
    hindrance = state.clinical_db.parent / "damaged"
    hindrance.touch()
    with run_box(tmp_path) as box:
        while "clinical.db cannot be rebuilt" not in run_lantern(tmp_path, "doctor").stdout:
            assert box.process.poll() is None
        hindrance.unlink()
        box.wait_ready()
