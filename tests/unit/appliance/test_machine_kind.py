"""The kind of machine that a folder of wheels was filled for, where another machine filled it."""

from __future__ import annotations

from firmware_app.appliance.installation.kind import Platform
from systemd.build.made_for import vary


def test_a_pc_fills_a_folder_for_a_board() -> None:
    pc = Platform("debian 12 x86_64", "Debian GNU/Linux 12 (bookworm)", "3.11")
    board = vary(pc, "aarch64", None, None)
    assert (board.system, board.python) == ("debian 12 aarch64", "3.11")
    assert vary(pc, "aarch64", "3.12", "ubuntu 24.04").system == "ubuntu 24.04 aarch64"
    assert vary(pc, None, None, None) == pc
