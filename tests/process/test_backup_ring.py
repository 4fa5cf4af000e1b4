"""The ring of backups, killed at every step."""

from __future__ import annotations

import shutil
from pathlib import Path

from firmware_app.appliance import backup_ring
from firmware_app.core.state_dir import StateDir
from tests.finished import kill_at_call
from tests.unit.appliance.test_backup_ring import make_copy
from tests.unit.appliance.test_backup_ring import state as state


def test_a_kill_at_any_file_operation_leaves_no_half_backup_and_no_hole(state: StateDir, tmp_path: Path) -> None:
    for _ in range(2):
        make_copy(state, keep=2)
    killed = 0
    for call in range(1, 40, 2):
        copy = StateDir(Path(shutil.copytree(state.root, tmp_path / str(call))))
        killed += kill_at_call(call, lambda copy=copy: make_copy(copy, keep=2))  # type: ignore[misc]
        numbers = [one.number for one in backup_ring.list_copies(copy)]
        assert numbers in ([2, 1], [3, 2, 1], [3, 2]), call
        for one in backup_ring.list_copies(copy):
            assert set(one.files) == {"clinical.db", "accounts.db", "exchange.db"}
            assert all((one.folder / name).exists() for name in one.files), call
        assert backup_ring.find_newest_whole(copy, "clinical.db") is not None
        after = make_copy(copy, keep=2).number
        assert [one.number for one in backup_ring.list_copies(copy)] == [after, after - 1]
        assert sorted(path.name for path in copy.backup.glob("[!.]*")) == [f"{after - 1:06d}", f"{after:06d}"]
    assert killed > 10
