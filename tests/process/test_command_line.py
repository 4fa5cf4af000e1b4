"""The `lantern` command as a person or a program meets it: its help, its refusals, its language, a Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters import cli as converters_cli
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import command_line
from firmware_app.core.language import escape_controls
from firmware_app.core.state_dir import StateDir
from hospital import cli as hospital_cli


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.delenv("LANTERN_BOX__LANGUAGE", raising=False)
    return StateDir(tmp_path / "state")


@pytest.fixture
def damaged(state: StateDir) -> StateDir:
    """A box whose database is no database any more."""
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    clinical.database.close()
    state.clinical_db.write_bytes(b"no database" * 1000)
    return state


def is_chinese(text: str) -> bool:
    return re.search("[\u4e00-\u9fff]", text) is not None


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


COMMANDS = {
    "lantern": command_line._parser,
    "lantern-hospital": hospital_cli._parser,
    "lantern-convert": converters_cli.parser,
}


@pytest.mark.parametrize("program", COMMANDS)
def test_every_help_has_an_example_that_is_understood(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    for parser in parsers(COMMANDS[program]()):
        first = (parser.epilog or "").strip().splitlines()[0]
        assert first.startswith(f"Example: {parser.prog}")
        command, *words = shlex.split(first.removeprefix("Example: "))
        assert vars(COMMANDS[command]().parse_args(words)).keys() & {"run", "command"}
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(["--help"])
        assert ended.value.code == 0
        assert f"Example: {parser.prog}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "case list", "case show c-1", "audit verify"])
def test_a_program_is_told_of_a_damaged_box_in_the_form_that_it_asked_for_and_always_in_the_same_words(
    damaged: StateDir, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first to stumble leaves a note, by which the next one knows."""
    said = []
    for _ in range(3):
        assert command_line.main([*command.split(), "--json"]) == 1
        said.append(capsys.readouterr())
    (line,) = said[0].out.splitlines()
    error = json.loads(line)["error"]
    assert error["code"] == "store.damaged"
    assert said[0].err == f"{error['code']}: {error['text']}\n"
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize(
    ("command", "streams"),
    [
        ("firmware_app config show", "both"),
        ("firmware_app config check --json", "stdout"),
        ("firmware_app status --json", "both"),
        ("firmware_app case list --json", "stdout"),
        ("hospital.cli keys new --host mqtt.example --dir {folder}", "both"),
        ("hospital.cli keys new --host mqtt.example --dir {folder} --json", "stdout"),
        ("converters.cli feedback-keys --out {folder}", "stdout"),
    ],
)
def test_whoever_stops_reading_is_no_success_and_no_traceback(
    state: StateDir, tmp_path: Path, command: str, streams: str
) -> None:
    """As `lantern … | head` does, with or without `2>&1`; here nobody reads from the beginning."""
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb") as nobody:  # noqa: PTH123 - it is a descriptor
        done = subprocess.run(
            [sys.executable, "-m", *command.format(folder=tmp_path / "made").split()],
            stdout=nobody,
            check=False,
            timeout=60,
            stderr=nobody if streams == "both" else subprocess.PIPE,
        )
    assert done.returncode == 141
    assert b"Traceback" not in (done.stderr or b"")
    assert b"roken" not in (done.stderr or b"")


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_refusal_is_in_the_language_of_the_box(
    state: StateDir, tmp_path: Path, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "box.toml").write_text(f'[box]\nlanguage = "{language}"\n')
    assert command_line.main(["case", "show", "c-1", "--config", str(tmp_path / "box.toml")]) == 1
    said = capsys.readouterr().err
    code, _, sentence = said.strip().partition(": ")
    assert code.startswith("store.")
    assert is_chinese(sentence) == (language == "zh_CN")


@pytest.mark.parametrize("encoding", ["ascii", "gb18030"])
def test_whatever_the_terminal_speaks_json_is_utf_8_and_text_is_no_traceback(encoding: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "LANTERN_BOX__LANGUAGE": "zh_CN",
        "LANTERN_STATE__DIR": str(tmp_path),
    }
    called = [sys.executable, "-m", "firmware_app", "config", "check", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run([*called, "--json"], env=environment, capture_output=True, check=False, timeout=60)
    assert is_chinese(json.loads(done.stdout.decode("utf-8"))["error"]["text"])
    said = done.stderr.decode(encoding)
    assert said.startswith("config.missing: ")
    assert is_chinese(said) is (encoding == "gb18030"), "a terminal that has no Chinese speaks English"
    assert "\\u" not in said


def run_in_ascii(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """The command of *module* as on a terminal that knows ASCII alone."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LANTERN_BOX__LANGUAGE": "zh_CN"}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("firmware_app", ["config", "check", "--config", "状态.toml"]),
        ("firmware_app", ["read", "状态.png"]),
        ("hospital.cli", ["keys", "list", "--dir", "状态"]),
        ("hospital.cli", ["keys", "new", "--host", "h.example", "--dir", "状态"]),
        ("hospital.cli", ["serve", "--help"]),
        ("converters.cli", ["evaluate", "状态", "--data", "状态"]),
    ],
)
def test_a_terminal_without_utf_8_shows_plain_characters_and_no_codes_of_them(
    module: str, arguments: list[str], tmp_path: Path
) -> None:
    done = run_in_ascii(module, *arguments, cwd=tmp_path)
    said = (done.stdout + done.stderr).decode("ascii")
    assert said
    assert "\\u" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("胸片 1.dcm", "胸片 1.dcm"),
        ("胸　片", "胸　片"),
        ("\x1b[31m\r\n\t\x7f", "\\x1b[31m\\r\\n\\t\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_terminal_is_given_nothing_to_obey(raw: str, shown: str) -> None:
    assert escape_controls(raw) == shown


def test_ctrl_c_while_the_command_is_still_loaded_ends_it_without_a_word() -> None:
    pressed = (
        "import os, signal, sys\n"
        "from firmware_app import __main__\n"
        "class Pressed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'firmware_app.cli.command_line': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "sys.exit(__main__.main())\n"
    )
    done = subprocess.run([sys.executable, "-c", pressed], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_command_in_the_background_of_a_script_goes_on_through_its_ctrl_c(tmp_path: Path) -> None:
    """A shell has it ignore the signal; `__main__` must not give it back its meaning."""
    asked = (
        "import signal, sys\n"
        "from firmware_app import __main__\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "sys.argv = ['lantern', 'config', 'check']\n"
        "__main__.main()\n"
        "sys.exit(signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)\n"
    )
    environment = {**os.environ, "LANTERN_STATE__DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", asked], env=environment, check=False, timeout=60).returncode == 0
