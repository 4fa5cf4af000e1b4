"""On the kernel's own console (``TERM=linux``), which has no Chinese glyph, a Chinese box speaks English."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.test_provision import console as provisioning

Screen = Callable[..., str]


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    """Run `lantern` with some words and variables on a terminal of its own; what that terminal was given to show."""

    def shown(words: str, **variables: str) -> str:
        kept = {name: value for name, value in os.environ.items() if name != "LANTERN_BOX__LANGUAGE"}
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "firmware_app", *words.split()]
        with subprocess.Popen(
            ["sh", "-c", '"$@" > out.json' if "--json" in words else '"$@"', "sh", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            env={**kept, "LANTERN_STATE__DIR": str(tmp_path / "state"), "PYTHONPATH": str(Path.cwd()), **variables},
        ):
            os.close(theirs)
            text = b""
            try:
                while more := os.read(ours, 4096):
                    text += more
            except OSError:  # how Linux says that nobody has the other end any more
                pass
        os.close(ours)
        return text.decode("utf-8")

    return shown


def is_chinese(text: str) -> bool:
    return re.search("[\u4e00-\u9fff]", text) is not None


@pytest.mark.parametrize(
    ("variables", "chinese"),
    [
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "linux", "LANTERN_BOX__LANGUAGE": "zh_CN"}, True),
    ],
    ids=["the kernel's console", "over SSH", "a console that was given glyphs"],
)
@pytest.mark.parametrize("words", ["config check", "case show c-0"], ids=["a result", "a refusal"])
def test_a_command_is_readable_where_it_is_typed(
    screen: Screen, words: str, variables: dict[str, str], chinese: bool
) -> None:
    said = screen(words, **variables)
    assert said.strip()
    assert is_chinese(said) is chinese, said


def test_a_box_that_shall_speak_chinese_is_provisioned_in_english_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANTERN_BOX__LANGUAGE", raising=False)
    with provisioning(tmp_path, term="linux") as person:
        person.answer(("Language", ""))
        person.until("Name of the clinic")
        assert not is_chinese(person.seen)
