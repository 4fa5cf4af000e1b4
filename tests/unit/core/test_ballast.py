"""The ballast lies in a folder that most processes write, and root makes it: what lies there is never opened."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_app.core.state_dir import StateDir

_SECRET = b"the box's own key"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.prepare()
    state.line_keys.mkdir()
    (state.line_keys / "identity.pem").write_bytes(_SECRET)
    return state


def link(state: StateDir) -> None:
    state.ballast.symlink_to("../line/identity.pem")


def loop(state: StateDir) -> None:
    state.ballast.symlink_to("ballast")


def second_name(state: StateDir) -> None:
    state.ballast.hardlink_to(state.line_keys / "identity.pem")


def pipe(state: StateDir) -> None:
    os.mkfifo(state.ballast)


def folder(state: StateDir) -> None:
    (state.ballast / "with" / "something").mkdir(parents=True)


def short(state: StateDir) -> None:
    state.ballast.write_bytes(b"of a box that was to have less")


@pytest.mark.parametrize("planted", [link, loop, second_name, pipe, folder, short])
def test_what_was_planted_in_its_place_is_replaced_and_neither_followed_nor_waited_for(
    state: StateDir, planted: Callable[[StateDir], None]
) -> None:
    planted(state)
    making = threading.Thread(target=state.prepare_ballast, args=(1,), daemon=True)
    making.start()
    making.join(20)
    assert not making.is_alive(), "it waits for somebody to read from a pipe"
    assert (state.line_keys / "identity.pem").read_bytes() == _SECRET
    assert state.ballast.is_file()
    assert not state.ballast.is_symlink()
    assert state.ballast_bytes == 1_000_000
    assert state.release_ballast()


def test_what_only_looks_like_it_gives_nothing_back(state: StateDir) -> None:
    (state.images / "large.dcm").write_bytes(bytes(2_000_000))
    for plant in (state.ballast.symlink_to, state.ballast.hardlink_to):
        plant(state.images / "large.dcm")
        assert state.ballast_bytes == 0
        state.ballast.unlink()


def test_the_one_that_is_there_stays(state: StateDir) -> None:
    state.prepare_ballast(1)
    before = state.ballast.stat()
    state.prepare_ballast(1)
    assert state.ballast.stat() == before
