"""The list of the Debian packages for the tests has what they call, and what tries one thing fails without it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import peers, software_rig

STARTS = {"run", "Popen", "check_call", "check_output", "call"}
ASKS = {"peer", "needed", "lacking", "find"}
OF_SOMETHING_ELSE = {"--stick", "case", "read", "run"}
"""First words of lists that are given to a command of ours."""
Values = Mapping[str, list[ast.expr]]


def find_programs(tree: ast.Module) -> Iterator[str]:
    """The programs that the tests in *tree* look for or start: words that stand in the call itself, in a list that has
    a name, in a loop over words, or in a call of a function that hands its argument on."""
    values: dict[str, list[ast.expr]] = {}
    imported = set()
    takes = {
        node.name: [arg.arg for arg in node.args.args] for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            for name, given in zip(takes.get(node.func.id, ()), node.args, strict=False):
                values.setdefault(name, []).append(given)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            values.setdefault(node.target.id, []).extend(getattr(node.iter, "elts", ()))
        elif isinstance(node, ast.ImportFrom) and node.module in ("tests.peers", "tests.faults.loopfs"):
            imported |= {one.asname or one.name for one in node.names}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Attribute(ast.Name("subprocess"), name) if name in STARTS:
                yield from first_words(call.args[0], values) if call.args else ()
            case ast.Attribute(ast.Name("shutil"), "which"):
                yield from words(call.args[:1], values)
            case ast.Attribute(ast.Name("peers"), name) if name in ASKS:
                yield from words(call.args, values)
            case ast.Name(name) if name in imported and name in ASKS:
                yield from words(call.args, values)
            case ast.Name("run") if "run" in imported:  # loopfs: the words of the command are its arguments
                yield from words(call.args[:1], values)


def words(given: list[ast.expr], values: Values) -> Iterator[str]:
    for one in given:
        for word in values.get(one.id, []) if isinstance(one, ast.Name) else [one]:
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                yield word.value


def first_words(command: ast.expr, values: Values) -> Iterator[str]:
    match command:
        case ast.Constant(str(word)):
            yield word
        case ast.List([first, *_]) | ast.Tuple([first, *_]) | ast.Starred(first) | ast.BinOp(left=first):
            yield from first_words(first, values)
        case ast.IfExp(body=one, orelse=other):
            yield from first_words(one, values)
            yield from first_words(other, values)
        case ast.Name(name):
            for value in values.get(name, []):
                yield from first_words(value, {})


@pytest.mark.parametrize(
    "source",
    [
        'shutil.which("zstd")',
        'from tests.peers import peer\npeer("zstd")',
        'from tests import peers\npeers.needed("tar", "zstd")',
        'from tests.peers import needed\nfor one in ("tar", "zstd"):\n    needed(one)',
        'subprocess.run(["zstd", "--version"], check=True)',
        'command = ["zstd"]\nsubprocess.check_output([*command, "-q"])',
        'subprocess.Popen(("zstd", "-x") + more)',
        'from tests.faults.loopfs import run\nrun("zstd", "-o", "loop")',
        'from tests import peers\ndef seen(program, path):\n    peers.peer(program)\nseen("zstd", "film.dcm")',
    ],
)
def test_the_search_sees_a_program_however_it_is_called(source: str) -> None:
    assert "zstd" in set(find_programs(ast.parse(source)))


def test_no_test_calls_a_program_that_the_list_does_not_bring() -> None:
    brought = {program for programs in peers.read_package_list().values() for program in programs}
    for path in sorted((peers.REPOSITORY / "tests").rglob("*.py")):
        text = path.read_text("utf-8")
        if path != Path(__file__) and re.search(r"subprocess|shutil\.which|peers|loopfs", text):
            named = {word.rpartition("/")[2] for word in find_programs(ast.parse(text))}
            assert named - OF_SOMETHING_ELSE <= brought, path


def test_the_list_has_what_a_fresh_machine_lacked() -> None:
    """Issue 35: without these, 20 tests failed and 9 broke off."""
    assert {"rauc", "squashfs-tools", "apt-utils"} <= set(peers.read_package_list())


def test_every_program_is_one_packages() -> None:
    programs = [program for programs in peers.read_package_list().values() for program in programs]
    assert sorted(programs) == sorted(set(programs))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has no program at all."""
    monkeypatch.setattr(peers, "_PATH", str(tmp_path))


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_peer_skips_or_fails_with_the_name_of_its_package(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("LANTERN_REQUIRE_PEERS", required)
    with pytest.raises(outcome, match="Debian package dcmtk"):
        peers.peer("storescu")
    with pytest.raises(outcome, match="Debian package chromium, chromium-driver, dcmtk"):
        peers.needed("storescu", "chromium", "chromedriver")
    with pytest.raises(outcome, match=r"Debian package libtss2-rc0 or libtss2-rc0t64"):
        peers.skip_missing_packages("libtss2-rc0")


@pytest.mark.usefixtures("bare")
def test_without_rauc_its_stand_in_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would execute itself for ever."""
    monkeypatch.delenv("LANTERN_REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Debian package rauc"):
        software_rig.FlashedBox(tmp_path)
    assert not (tmp_path / "bin/rauc").exists()


@pytest.mark.parametrize(
    "target", ["test-deb", "test-install", "test-image", "test-appliance", "test-debian", "torture", "durability"]
)
def test_a_target_that_tries_one_thing_fails_where_it_cannot(target: str) -> None:
    makefile = (peers.REPOSITORY / "Makefile").read_text("utf-8")
    [targets] = re.findall(r"^(.*): export LANTERN_REQUIRE_PEERS = 1$", makefile, re.M)
    assert target in targets.split()
