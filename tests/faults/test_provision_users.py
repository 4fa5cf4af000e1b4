"""What the box's other users can do to its provisioning: real users and groups, the folders as on an installed box."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_app.appliance import provisioning_request
from tests.peers import REPOSITORY, need_root
from tests.shelf import Box

VIEWER, CLINICAL = "daemon", 62_001  # a user whom every machine knows, in the viewer's place
VIEWER_ID, IMPORTER_ID = 1, 61_002
ANSWERS = {"box": "clinic-7", "clinic": "Clear River", "language": "en", "zone": "Asia/Shanghai", "ae_title": "LANTERN"}
# Everything is imported first: the interpreter may lie where only root can read it.
_DOES = """
import json, os
from pathlib import Path
from firmware_app.core import run_status as presence
from firmware_app.appliance import provisioning_request as first_request, provisioning_files as provisioning_folder
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.core.state_dir import StateDir
os.setgroups([{group}])
os.setresgid(*[{group}] * 3)
os.setresuid(*[{user}] * 3)
os.umask(0o007)
state = StateDir(Path({state!r}))
{what}
"""


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    need_root()
    made = Box(tmp_path / "box")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    made.state.provision.mkdir()
    for folder in (made.state.run, made.state.provision):
        os.chown(folder, 0, CLINICAL)
        folder.chmod(0o2770)
    monkeypatch.setattr(provisioning_request, "VIEWER", VIEWER)
    return made


def as_user(box: Box, user: int, what: str) -> str:
    program = _DOES.format(state=str(box.state.root), what=what, user=user, group=CLINICAL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, text=True, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORGED = f"json.dumps(dict(answers={ANSWERS!r}, request='0'))"
PLACE = "state.provision / 'request.json'"


@pytest.mark.parametrize(
    "does",
    [
        f"(state.run / 'viewer.lock').write_text({FORGED}); (state.run / 'viewer.lock').rename({PLACE})",
        f"(state.run / 'viewer.lock').write_text({FORGED}); os.link(state.run / 'viewer.lock', {PLACE})",
        f"({PLACE}).write_text({FORGED}); ({PLACE}).chmod(0o640)",
    ],
    ids=["the viewer's lock, moved", "the viewer's lock, linked", "its own file"],
)
def test_the_importer_cannot_ask_in_the_viewers_name(box: Box, does: str) -> None:
    """Its group may write to what the viewer leaves in `run`, and the file remains the viewer's."""
    as_user(box, VIEWER_ID, "with presence.hold_process_lock(state, 'viewer'): pass")
    lock = (box.state.run / "viewer.lock").stat()
    assert (lock.st_uid, lock.st_mode & 0o777) == (VIEWER_ID, 0o660)
    as_user(box, IMPORTER_ID, does)
    answer = box.answered()
    assert answer.reason.code == "provision.request"
    assert "another user" in answer.text("en")
    assert box.config.box.id == "unprovisioned"
    assert not provisioning_request.is_waiting(box.state)


def test_a_request_of_the_viewer_that_has_two_names_is_not_heard(box: Box) -> None:
    """What the second name was made for nobody can say."""
    as_user(box, VIEWER_ID, f"first_request.ask(state, FirstRequest(answers={ANSWERS!r}))")
    os.link(box.state.provision / "request.json", box.state.run / "kept")
    assert box.answered().reason.details == {"detail": "another user can have written it"}


def test_a_folder_that_cannot_be_read_leaves_no_file_the_only_one(box: Box) -> None:
    """The reader of a stick is not told by `glob` that it has passed over a folder."""
    stick = box.state.run / "stick"
    (stick / "more").mkdir(parents=True)
    stick.chmod(0o755)
    looks = f"print(provisioning_folder.read_folder(Path({str(stick)!r})).whole)"
    assert as_user(box, IMPORTER_ID, looks) == "True\n"
    (stick / "more").chmod(0o700)
    assert as_user(box, IMPORTER_ID, looks) == "False\n"
