"""A retired sealing key is gone from the disk, whenever the hospital's machine dies in a rotation."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hospital import keyring

# Dies by SIGKILL at the argv[3]th event argv[2] (of `sys.addaudithook`) in the folder, before what it announces.
_DOOMED = """
import os, signal, sys
from pathlib import Path
from hospital import keyring

folder, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def doomed(event, arguments):
    global times
    if event == name and str(arguments[0]).startswith(str(folder)):
        times -= 1
        if not times:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(doomed)
keyring.rotate(folder)
"""
# After the four looks at what is there: the new key's file, its folder, the new index, its name, the folder again, what
# was published, and the old key's end.
INSTANTS = [*(("open", number) for number in range(5, 12)), ("os.rename", 1), ("os.remove", 1)]


def rotate_and_die(folder: Path, event: str, times: int) -> None:
    done = subprocess.run([sys.executable, "-c", _DOOMED, str(folder), event, str(times)], check=False)
    assert done.returncode == -signal.SIGKILL


def seals(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("seal-*.pem"))


@pytest.mark.parametrize(("event", "times"), INSTANTS)
def test_a_rotation_that_was_killed_leaves_one_key_and_never_an_old_one(tmp_path: Path, event: str, times: int) -> None:
    keyring.make_keys(tmp_path)
    rotate_and_die(tmp_path, event, times)
    survived = keyring.load_keys(tmp_path)
    assert seals(tmp_path) == [f"seal-{survived.current.hex()}.pem"]
    after = keyring.rotate(tmp_path)
    assert seals(tmp_path) == [f"seal-{after.current.hex()}.pem"]
    assert survived.current in after.retired


def test_who_looks_during_a_rotation_sees_one_key_or_the_next_and_destroys_none(tmp_path: Path) -> None:
    first = keyring.make_keys(tmp_path)
    rotations = 20
    turning = threading.Thread(target=lambda: [keyring.rotate(tmp_path) for _ in range(rotations)])
    turning.start()
    serials = [first.serial]
    while turning.is_alive():
        serials.append(keyring.load_keys(tmp_path).serial)
    turning.join()
    assert serials == sorted(serials)
    assert keyring.load_keys(tmp_path).serial == first.serial + rotations
