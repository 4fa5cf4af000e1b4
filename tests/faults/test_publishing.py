"""The publication of a pack, killed and on a full stick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.publishing_rig import PackPublisher, pack
from tests.unit.converters.test_publishing import world as world

ROOT = Path(__file__).parents[2]
KILLED = """
import os, sys
from pathlib import Path
from converters.publishing import repository
left, replace = int(sys.argv[1]), Path.replace
def dying(self, target):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return replace(self, target)
Path.replace = dying
repository.publish(*map(Path, sys.argv[2:5]))
"""


def test_a_publication_that_is_killed_before_any_of_its_files_is_named_leaves_the_old_state(
    world: PackPublisher,
) -> None:
    made = pack(world.folder / "made", "1.1.0")
    world.install(root=world.root)
    for left in range(99):
        arguments = [str(left), str(made), str(world.repository), str(world.keys)]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, cwd=ROOT)
        if done.returncode == 0:
            break
        assert done.returncode == 9
        assert world.install().before == "1.0.0"
        assert world.versions() == ["1.0.0"]
    assert left == 9  # four files of the pack, index, targets, snapshot, root, timestamp, the last
    assert world.install().pack.manifest.version == "1.1.0"
