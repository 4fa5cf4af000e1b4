"""What has been done, and from what: a step whose recipe tables, inputs and tools are unchanged is not done again.

Each step ends by writing ``work/<step>.json`` with what it was made of, its results and the files it made with their
SHA-256.  It is made of the recipe tables it reads, the digest of its data, what the steps before it made,
the converters' code and the versions of the libraries.  So changing ``[prune]`` repeats pruning and what follows, and
leaves the teacher alone; a step that is done again with the same outcome repeats nothing.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from converters.failures import StepMissing
from converters.workflow.atomic import write_json

TRAINING: Final = frozenset({"train", "distill", "prune", "leave_out"})
TRAINING_CODE: Final = (
    "data",
    "nets",
    "tasks",
    "training",
    "evaluation/segmentation.py",
    "statistics/intervals.py",
    "workflow/device.py",
    "workflow/recipe_run.py",
)
"""The code that weights depend on; all other steps depend on the whole package.

What else weights depend on is known by its value, so that an edit which changes no value repeats no training of hours:

* a recipe's defaults by the step's own tables with every key (:func:`converters.workflow.recipe_run.tables`), not by
  ``recipe_tables``, where each new key of a gate would count;
* ``firmware_app/imaging`` and the libraries that decode by what the box makes of some films
  (:attr:`converters.workflow.recipe_run.RecipeRun.input_digest`), not by the modules, which change with every new
  refusal.

The rest of ``workflow`` writes files and keeps accounts.
"""
TRAINING_LIBRARIES: Final = ("torch", "numpy")
PRUNING_LIBRARIES: Final = (*TRAINING_LIBRARIES, "torch-pruning")
LIBRARIES: Final = (
    *TRAINING_LIBRARIES,
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "litert-torch",
    "ai-edge-quantizer",
    "ai-edge-litert",
)


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What a step is made of, each as a SHA-256 or a version."""

    recipe: str
    data: str
    before: Mapping[str, str]
    """Step before it → the digest of its results and files."""

    def differences(self, entry: Mapping[str, Any], step: str) -> list[str]:
        """Why the step of this name must run again, as sentences; empty when *entry* has the same inputs."""
        was = entry.get("made_of")
        if not isinstance(was, dict):
            return ["an older converter did it"]
        now = {**asdict(self), **tools(step)}
        earlier = [f"{name} was done again" for name, made in self.before.items() if was["before"].get(name) != made]
        libraries = [
            f"{name} is {at}, was {was['libraries'].get(name)}"
            for name, at in now["libraries"].items()
            if was["libraries"].get(name) != at
        ]
        words = {
            "recipe": "its recipe tables changed",
            "data": "the films, or what the box makes of them, changed",
            "code": "the code changed",
        }
        return [word for key, word in words.items() if was.get(key) != now[key]] + earlier + libraries


@dataclass(frozen=True, slots=True)
class Ledger:
    """The steps done in one work folder."""

    work: Path

    def fingerprint(self, tables: Mapping[str, Any], before: Sequence[str] = (), data: str = "") -> MadeOf:
        """What a step is made of: the tables' values, what the steps ``before`` made, and the data's digest."""
        recipe = json.dumps(tables, sort_keys=True)
        return MadeOf(_sha256(recipe), data, {step: self._outcome(step) for step in before})

    def results(self, step: str, made_of: MadeOf) -> dict[str, Any] | None:
        """What ``step`` gave when it was last done from the same inputs and its files are still as it left them.

        Says on stderr in one line whether the step is done again, and why.
        """
        entry = self._entry(step)
        if not entry:
            _say(step, "not done yet")
            return None
        why = made_of.differences(entry, step) or self._find_damage(entry)
        if why:
            _say(step, f"done again: {'; '.join(why)}")
            return None
        _say(step, "done before, nothing it is made of has changed")
        results: dict[str, Any] = entry["results"]
        return results

    def record_step(self, step: str, made_of: MadeOf, results: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Record that ``step`` is done. Call it last."""
        made = {path.relative_to(self.work).as_posix(): digest_of(path) for path in files}
        entry = {"made_of": {**asdict(made_of), **tools(step)}, "code": code(), "results": results, "files": made}
        write_json(self.work / f"{step}.json", entry)

    def _outcome(self, step: str) -> str:
        entry = self._entry(step)
        return _sha256(json.dumps([entry["results"], entry["files"]], sort_keys=True)) if entry else ""

    def _find_damage(self, entry: Mapping[str, Any]) -> list[str]:
        """The step's missing or changed files, as sentences."""
        return [
            f"{name} is not as it was"
            for name, digest in entry["files"].items()
            if not (self.work / name).is_file() or digest_of(self.work / name) != digest
        ]

    def read_code_digests(self, steps: Sequence[str]) -> dict[str, str]:
        """Step → the digest of the code that did it, of those done; "" where an older converter did not note it."""
        entries = {step: self._entry(step) for step in steps}
        return {step: str(entry.get("code", "")) for step, entry in entries.items() if entry}

    def read(self, step: str) -> dict[str, Any]:
        """The results of a step that must have been done; raises :class:`StepMissing` naming it."""
        entry = self._entry(step)
        if not entry:
            raise StepMissing(step, str(self.work))
        results: dict[str, Any] = entry["results"]
        return results

    def _entry(self, step: str) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = json.loads((self.work / f"{step}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entry


def tools(step: str) -> dict[str, Any]:
    """The digest of the code that a step runs, and the versions of the libraries that it uses."""
    if step in TRAINING:
        libraries = PRUNING_LIBRARIES if step == "prune" else TRAINING_LIBRARIES
        return {"code": _digest_code(TRAINING_CODE), "libraries": _versions(libraries)}
    return {"code": _digest_code(("",)), "libraries": _versions(LIBRARIES)}


@cache
def _digest_code(places: tuple[str, ...]) -> str:
    """The SHA-256 of what the modules in *places*, files and folders, do: comments and docstrings repeat nothing."""
    root, listing = Path(__file__).parents[1], list[str]()
    found = [[root / place] if place.endswith(".py") else (root / place).rglob("*.py") for place in places]
    for path in sorted({path for paths in found for path in paths}):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [one for one in body if not _is_text(one)]  # type: ignore[attr-defined]
        listing.append(f"{path.relative_to(root).as_posix()} {ast.dump(tree)}")
    return _sha256("\n".join(listing))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _versions(names: tuple[str, ...]) -> dict[str, str]:
    """Library → its version, of those that are installed."""
    versions = dict[str, str]()
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _say(step: str, words: str) -> None:
    print(f"{step}: {words}", file=sys.stderr, flush=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code() -> str:
    """The SHA-256 of this package's modules, by name and content."""
    root = Path(__file__).parents[1]
    listing = "".join(f"{path.relative_to(root).as_posix()} {digest_of(path)}\n" for path in sorted(root.rglob("*.py")))
    return hashlib.sha256(listing.encode()).hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
