"""A page that names a test as the holder of a promise, or a module, names one that exists."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = ("firmware_app", "web", "hospital", "converters", "tests", "bench", "demo", "systemd", "docs")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", ["docs/threat-model.md", "docs/architecture.md", "docs/decisions/install.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text("utf-8"))
    assert named
    for path, name in named:
        assert (ROOT / path).is_file(), f"{page} names {path}"
        assert f"\ndef {name}" in (ROOT / path).read_text("utf-8") or not name, f"{page} names {path}::{name}"


def test_every_threat_that_is_stopped_names_its_test() -> None:
    page = (ROOT / "docs/threat-model.md").read_text("utf-8")
    threats = [line for line in page.splitlines() if re.match(r"\| [STRIDE] \|", line)]
    assert len(threats) > 40
    assert not [line for line in threats if not NAMED.search(line.rsplit(" | ", 1)[1])]


def test_every_module_that_a_page_names_exists() -> None:
    """By its path from the root or from a package; two that are gone stand in the history of a decision."""
    gone = {"stick_space.py", "suv.py"}
    there = {f"/{path.relative_to(ROOT)}" for top in TREES for path in (ROOT / top).rglob("*.py")}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "systemd").rglob("*.md")]
    named = {
        (page.name, name)
        for page in pages
        if page.name != "CHANGELOG.md"
        for name in re.findall(r"`([\w./]+\.py)`", page.read_text("utf-8"))
        if "NAME" not in name
    }
    assert len(named) > 80
    assert [
        (page, name)
        for page, name in sorted(named)
        if not any(x.endswith(f"/{name}") for x in there) and name not in gone
    ] == []


def test_every_name_in_a_docstring_exists() -> None:
    """In single backticks a name of ours, in asterisks a parameter or a variable of the function."""
    of_libraries = {"apply_color_lut", "SigAltStackSetup", "exceptions", "DownloadError", "use_username_as_clientid"}
    emphasised = {"before", "i", "registered"}
    texts = {path: path.read_text("utf-8") for top in TREES for path in (ROOT / top).rglob("*.py")}
    known = set(dir(builtins)) | of_libraries
    for path, text in texts.items():
        known |= {path.stem, *path.parts, *_list_words(text)}
    for path in [*(ROOT / "firmware_app").rglob("*.sql"), *(ROOT / "hospital").rglob("*.sql"), ROOT / "docs/uplink.md"]:
        known |= _list_words(path.read_text("utf-8"))
    stale = []
    for path, text in texts.items():
        if path.relative_to(ROOT).parts[0] not in ("firmware_app", "web", "hospital"):
            continue
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                continue
            docstring = ast.get_docstring(node) or ""
            named = re.findall(r"(?<!`)`([A-Za-z_][\w.]*)(?:\(\))?`(?!`)", docstring)
            stale += [f"{path}: `{name}`" for name in named if not set(name.split(".")) <= known]
            marked = re.findall(r"(?<![\w*`])\*([a-z_]\w*)\*(?![\w*])", docstring)
            if marked and isinstance(node, ast.FunctionDef):
                own = _list_words("\n".join(lines[node.lineno - 1 : node.end_lineno])) | emphasised
                stale += [f"{path}: {node.name}: *{name}*" for name in marked if name not in own]
    assert sorted(stale) == []


def _list_words(text: str) -> set[str]:
    """The words of *text* outside docstrings."""
    return set(re.findall(r"\w+", re.sub(r'""".*?"""', "", text, flags=re.DOTALL)))
