"""Which package may import which (docs/architecture.md): arrows point down, and there is no cycle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests import source

ROOT = Path(__file__).parents[2]
OURS = ("firmware_app", "web", "converters", "hospital")

ORDER = (
    "core",
    "dicom",
    "imaging",
    "packs",
    "cases",
    "uplink",
    "monitoring",
    "ingest",
    "reading",
    "results",
    "appliance",
    "cli",
    "__main__",
)
"""The flats of the box, from the ground up: each imports only those before it."""
RANK = {name: rank for rank, name in enumerate(ORDER)}

PIXEL_SIDE = ("firmware_app.imaging", "firmware_app.packs", "firmware_app.reading")
SHARED_WITH_CONVERTERS = (
    "firmware_app.core",
    "firmware_app.dicom",
    "firmware_app.imaging",
    "firmware_app.packs",
    "firmware_app.reading.routing",  # films of other places are refused by the box's own rules, not by a copy of them
    "firmware_app.uplink.messages.feedback",  # the box writes a clinic's feedback, the converters read it
    "firmware_app.appliance.software_offers",  # the publisher's tool writes the index of software, the box reads it
)
SHARED_WITH_HOSPITAL = ("firmware_app.core", "firmware_app.uplink.messages", "firmware_app.uplink.errors")
VIEWER_NEVER = ("firmware_app.packs.runtimes", "firmware_app.ingest", "firmware_app.dicom.scp")


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that *path* imports, at any depth, as a dotted name."""
    for node in source.read(path).imports:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names = [node.module or ""]
            if node.module in OURS:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in (*OURS, "systemd"))


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules(package: str) -> list[Path]:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, f"{package} has no module"
    return paths


def violations(package: str) -> Iterator[str]:
    for path in modules(package):
        here = path.relative_to(ROOT).with_suffix("").parts
        for name in imports(path):
            why = _forbidden(package, here[1] if len(here) > 1 else "", name)
            if why:
                yield f"{path.relative_to(ROOT)} imports {name}: {why}"


def _within(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _forbidden(package: str, here: str, name: str) -> str:
    target, there = name.split(".")[0], part(name)
    if there in {"", "__version__"} and target == package:
        return ""
    if package == "firmware_app":
        if target != "firmware_app":
            return "the box imports nothing beside itself"
        if here in {"dicom", "ingest", "uplink"} and _within(name, PIXEL_SIDE):
            return "what is on the network never touches pixels"
        if here != there and here and RANK[there] >= RANK[here]:
            return "arrows point down"
    elif target not in {package, "firmware_app"}:
        return "the four packages do not know each other"
    elif name.endswith(".errors") and package in {"web", "converters"}:
        return ""  # what the box refuses, and no code of it
    elif target == "firmware_app" and package == "web" and _within(name, VIEWER_NEVER):
        return "the viewer opens no DICOM and runs no model"
    elif target == "firmware_app" and package == "converters" and not _within(name, SHARED_WITH_CONVERTERS):
        return "the converters share only the model side of the box"
    elif target == "firmware_app" and package == "hospital" and not _within(name, SHARED_WITH_HOSPITAL):
        return "" if name.endswith(".__version__") else "the hospital knows only what is sealed for it"
    return ""


def packages_imported(root: Path, top: str) -> dict[str, set[str]]:
    """For each package directly in *top*: which of its sisters it imports, at any depth of either."""
    arrows: dict[str, set[str]] = {}
    for path in sorted((root / top).rglob("*.py")):
        here = path.relative_to(root / top).with_suffix("").parts[0]
        for name in imports(path):
            if name.startswith(f"{top}."):
                arrows.setdefault(here, set()).add(part(name))
    return {here: {there for there in them if there != here} for here, them in arrows.items()}


def files_imported(root: Path, top: str) -> dict[str, set[str]]:
    """For each file of *top*: which others of it it imports, wherever in the file, but for the types alone."""
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / top).rglob("*.py"))
    }

    def named(path: Path) -> Iterator[str]:
        read = source.read(path)
        for node in read.imports:
            if isinstance(node, ast.ImportFrom) and id(node) not in read.imports_for_types:
                for whole in (f"{node.module}.{alias.name}" for alias in node.names):
                    yield whole if whole in paths else str(node.module)
            elif isinstance(node, ast.Import) and id(node) not in read.imports_for_types:
                yield from (alias.name for alias in node.names)

    return {here: {there for there in named(path) if there in paths and there != here} for here, path in paths.items()}


def in_a_cycle(arrows: Mapping[str, Iterable[str]]) -> set[str]:
    """Those from which the arrows lead back to themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for there in arrows.get(todo.pop(), ()):
                if there not in seen:
                    seen.add(there)
                    todo.append(there)
        return seen

    return {arrow for arrow in arrows if arrow in reached(arrow)}


@pytest.mark.parametrize("package", OURS)
def test_arrows_point_down(package: str) -> None:
    assert list(violations(package)) == []


@pytest.mark.parametrize(
    ("package", "here", "name"),
    [
        ("firmware_app", "ingest", "firmware_app.imaging.image_file"),
        ("firmware_app", "uplink", "firmware_app.reading"),
        ("firmware_app", "cases", "firmware_app.cli.command_line"),
        ("firmware_app", "core", "firmware_app.packs.manifest"),
        ("firmware_app", "reading", "web"),
        ("firmware_app", "appliance", "systemd.build.signing"),
        ("web", "", "firmware_app.packs.runtimes.registry"),
        ("converters", "", "firmware_app.cases.clinical_db"),
        ("converters", "elsewhere", "firmware_app.reading.reader"),
        ("hospital", "", "firmware_app.cases.clinical_db"),
        ("hospital", "", "converters.train"),
    ],
)
def test_a_forbidden_arrow_is_seen(package: str, here: str, name: str) -> None:
    assert _forbidden(package, here, name)


def test_no_packages_of_the_box_import_each_other_in_a_cycle() -> None:
    assert in_a_cycle(packages_imported(ROOT, "firmware_app")) == set()


@pytest.mark.parametrize("package", OURS)
def test_no_files_import_each_other_in_a_cycle(package: str) -> None:
    assert in_a_cycle(files_imported(ROOT, package)) == set()


def test_a_cycle_of_files_is_seen_where_the_import_is_late_but_not_where_it_is_of_types_alone(tmp_path: Path) -> None:
    for file, text in {
        "web/page.py": "from web import row\n",
        "web/row.py": "def drawn():\n    from web.page import Page\n",
        "web/sheet.py": "if TYPE_CHECKING:\n    from web.table import Table\n",
        "web/table.py": "import web.sheet\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert in_a_cycle(files_imported(tmp_path, "web")) == {"web.page", "web.row"}


def test_a_cycle_is_seen(tmp_path: Path) -> None:
    for file, text in {
        "firmware_app/store/relay.py": "from firmware_app.uplink import line\n",
        "firmware_app/uplink/line.py": "def send():\n    from firmware_app.uplink.messages.public_keys import Key\n",
        "firmware_app/uplink/messages/public_keys.py": "import firmware_app.store.relay\n",
        "firmware_app/reading/reader.py": "from firmware_app.store import relay\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert in_a_cycle(packages_imported(tmp_path, "firmware_app")) == {"store", "uplink"}


def test_the_table_of_contributing_and_the_picture_of_the_readme_are_the_tree() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## Where a thing lives")[1].split("## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == ORDER[:-1]
    there = {path.name for path in (ROOT / "firmware_app").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert there == set(ORDER[:-1])
    short = (ROOT / "README.md").read_text("utf-8").split("firmware_app/   the box.")[1].split("```")[0]
    assert [name for name in there if f"{name}/" not in short] == []


def test_only_what_writes_a_whole_report_needs_matplotlib() -> None:
    arrows = files_imported(ROOT, "converters")
    drawn = {path.relative_to(ROOT).as_posix() for path in modules("converters") if "matplotlib" in path.read_text()}
    assert drawn == {"converters/report/figures.py"}
    assert {name for name in arrows if "converters.report.figures" in arrows[name]} == {"converters.report.page"}
    whole = {name for name in arrows if "converters.report.page" in arrows[name]}
    assert whole == {"converters.packing.pack", "converters.shipped_packs.requantize"}


def test_what_the_box_installs_holds_no_training_stack() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    heavy = ("torch", "tensorflow", "rapidocr", "av", "opencv")
    assert not [name for name in project["dependencies"] if name.startswith(heavy)]
