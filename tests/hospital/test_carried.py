"""A folder that a case is opened into is gone when opening it ends early, however early that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hospital import sealed_cases


def test_a_ctrl_c_at_the_instant_the_folder_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, mkdir = tmp_path / "out", Path.mkdir

    def interrupted(folder: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        mkdir(folder, mode, parents, exist_ok)
        if folder != out:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), sealed_cases._make_new_folder(out):
        pass
    assert list(out.iterdir()) == []
