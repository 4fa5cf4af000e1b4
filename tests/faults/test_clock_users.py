"""Who may write the box's memory of time: the clinic's users each for all of them, the uplink for itself at most."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_app.core.clock import CLOCK_FILE
from firmware_app.core.state_dir import StateDir
from tests.peers import REPOSITORY, need_root

GATEWAY, READER, UPLINK = 61_001, 61_002, 61_003
CLINICAL, EXCHANGE = 62_001, 62_002
# Everything is imported first: the interpreter may lie where only root can read it.
_TELLS = """
import json, os, time
from pathlib import Path
from firmware_app.core import clock
from firmware_app.core.clock import TimeSource
from firmware_app.core import clock as timekeeping
from firmware_app.core.state_dir import StateDir
os.setgroups({groups})
os.setresgid(*[{groups}[0]] * 3)
os.setresuid(*[{user}] * 3)
made = timekeeping.start_clock(StateDir(Path({state!r})), {process!r})
{what}
print(clock.current_clock().standing().source.value)
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """A state directory as an installed box has it."""
    need_root()
    made = StateDir(tmp_path / "state")
    made.prepare()
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    for folder, group in ((made.run, CLINICAL), (made.exchange_db.parent, EXCHANGE)):
        subprocess.run(["chgrp", str(group), str(folder)], check=True)
        folder.chmod(0o2770)
    return made


Said = subprocess.CompletedProcess[str]


def tell(state: StateDir, user: int, groups: list[int], process: str, what: str = "") -> Said:
    """What *user* learns of the time as *process*, after doing *what*."""
    program = _TELLS.format(state=str(state.root), process=process, what=what, user=user, groups=groups)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, text=True, capture_output=True, check=False, timeout=120
    )


_LEARN = "made.learn(time.time(), TimeSource.PERSON)"


def test_what_one_user_of_the_clinic_learns_all_go_by(state: StateDir) -> None:
    assert tell(state, GATEWAY, [CLINICAL], "gateway", _LEARN).stdout == "person\n"
    assert tell(state, READER, [CLINICAL, EXCHANGE], "reader", "clock.stamp()").stdout == "person\n"
    assert tell(state, UPLINK, [EXCHANGE], "uplink").stdout == "person\n"
    status = (state.run / CLOCK_FILE).stat()
    assert (status.st_gid, status.st_mode & 0o777) == (CLINICAL, 0o660)


def test_the_uplink_can_open_no_memory_but_its_copy_and_is_believed_by_nobody(state: StateDir) -> None:
    assert tell(state, READER, [CLINICAL, EXCHANGE], "reader", _LEARN).stdout == "person\n"
    refused = tell(state, UPLINK, [EXCHANGE], "uplink", f"open({str(state.run / CLOCK_FILE)!r})")
    assert "PermissionError" in refused.stderr
    copy = state.exchange_db.parent / CLOCK_FILE
    forged = {**json.loads(copy.read_bytes()), "turn": 99, "newest": 2e9}
    assert tell(state, UPLINK, [EXCHANGE], "uplink", f"Path({str(copy)!r}).write_text({json.dumps(forged)!r})").stdout
    assert json.loads(copy.read_bytes())["turn"] == 99
    assert tell(state, GATEWAY, [CLINICAL], "gateway", "clock.stamp()").stdout == "person\n"
    assert json.loads((state.run / CLOCK_FILE).read_bytes())["turn"] == 0
    tell(state, READER, [CLINICAL, EXCHANGE], "reader", "made.learn(time.time() + 200, TimeSource.HOSPITAL)")
    assert json.loads(copy.read_bytes())["turn"] == 0
