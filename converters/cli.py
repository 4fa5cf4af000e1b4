"""``lantern-convert``: from films and a recipe to a pack, step by step or in one go.

A step reads what the steps before it left under OUT, in work/PACK, and is passed over when nothing it depends on has
changed.  What is said on stderr is kept in ``log.txt`` there, the libraries' warnings in ``libraries.log``.  Only the
steps of a recipe need the extra ``convert`` (PyTorch); the other commands do not import it.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from converters.data import feedback
from converters.elsewhere import command as away
from converters.evaluation import evaluate
from converters.failures import ConverterError, OutputUnwritable
from converters.publishing import repository, software, tuf_keys
from converters.recipe import load_pretraining, load_recipe
from firmware_app.core import console
from firmware_app.core.errors import LanternError

if TYPE_CHECKING:
    from converters.training.steps import RecipeRun

EXIT_REFUSED = 1
STEPS = {
    "train": "Fit the teacher, or the only network, of every fold; an interrupted fit goes on where it stopped.",
    "leave-out": "Fit once more without each source in turn, and read on it; only where the recipe asks for it.",
    "distill": "Fit the student of every fold to its teacher's opinions.",
    "prune": "Take channels out of every student, step by step, each step followed by fine-tuning.",
    "calibrate": "Fit the calibration and choose the threshold on the films held back from each fold.",
    "export": "Write the trained networks as ONNX, OpenVINO and TFLite files.",
    "quantize": "Find an INT8 file of each runtime that passes the recipe's gates.",
    "maps": "Compare every file's activation map with Grad-CAM of the original, with occlusion and with outlines.",
    "typicality": "Fit the typicality model, by which the box knows a film that is unlike the training films.",
    "speed": "Time every file of the network that ships.",
    "gate": "Judge every file beside the PyTorch original: passed, inconclusive or refused.",
    "report": "Write the report of everything so far, one HTML page.",
    "pack": "Draw golden cases, measure once on the test part, write manifest, card, report and sums.",
}

FITS = ("train", "leave-out", "distill", "prune", "quantize")
"""The steps that may train a network."""

LEARNS = frozenset(FITS) - {"quantize"}
"""Those that do little else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, 1 with one sentence on stderr, or 141 when its reader has gone."""
    return console.run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    if getattr(options, "json", False):
        console.use_json_encoding()
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BrokenPipeError:  # `lantern-convert … | head`; `pipe` knows what to do
        raise
    except (ConverterError, LanternError, OSError) as error:
        print(f"lantern-convert: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"lantern-convert: this step needs {error.name}: pip install 'lantern-box[convert]'", file=sys.stderr)
    except KeyboardInterrupt:
        print("lantern-convert: stopped; the same command goes on where it stopped", file=sys.stderr)
    return EXIT_REFUSED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    recipe = "converters/recipes/chest-xray-child.toml --data ~/chest-xray --out ~/packs"
    top = argparse.ArgumentParser(
        prog="lantern-convert",
        description=(__doc__ or "").split("\n")[0].replace("``", ""),
        epilog=f"Example: lantern-convert run {recipe}",
    )
    steps = top.add_subparsers(metavar="COMMAND", required=True)

    def step(
        name: str, text: str, example: str, command: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        added = steps.add_parser(
            name,
            help=text.replace("%", "%%"),
            description=text,
            epilog=f"Example: lantern-convert {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=command)
        return added

    for name, text in {"run": "Follow a whole recipe, all steps below in their order.", **STEPS}.items():
        added = step(name, text, f"{name} {recipe}", _follow)
        added.set_defaults(steps=tuple(STEPS) if name == "run" else (name,))
        added.add_argument("recipe", type=Path, help="the recipe, a TOML file")
        added.add_argument("--data", type=Path, required=True, help="the data set's folder or file")
        added.add_argument("--out", type=Path, required=True, help="where the pack goes; checkpoints go to OUT/work")
        if name in ("run", *FITS):
            added.add_argument(
                "--device",
                choices=("auto", "cuda", "cpu"),
                default="auto",
                help="where networks learn; auto: a GPU if there is one (default: auto)",
            )
            added.add_argument(
                "--workers",
                type=_count,
                default=0,
                metavar="N",
                help="processes that change the films beside the one that learns; "
                "what is learnt is the same (default: %(default)s)",
            )
        if name in ("run", "train"):
            added.add_argument(
                "--add-feedback",
                type=Path,
                action="append",
                default=[],
                metavar="EXPORT",
                help="a clinic's sealed feedback to learn from too; may be repeated",
            )
            added.add_argument(
                "--feedback-key",
                type=Path,
                default=Path(feedback.PRIVATE),
                metavar="FILE",
                help="the key it was sealed to (default: %(default)s)",
            )

    added = step(
        "feedback-keys",
        "Make the key pair that clinics seal their feedback to.",
        "feedback-keys --out ~/keys",
        _feedback_keys,
    )
    added.add_argument("--out", type=Path, required=True, help="the folder for feedback.key and feedback.pub")

    example = "evaluate models/chest-xray-child --data ~/films --positive PNEUMONIA --json"
    added = step("evaluate", "Measure a pack on labelled films.", example, evaluate.command)
    evaluate.add_arguments(added)

    example = "elsewhere models/chest-xray-child --data ~/chest-xray --external ~/chest-xray-nih:under-18=nih-children"
    text = "Measure a finished pack on films of other places, and write the rows into its manifest, card and report."
    added = step("elsewhere", text, example, away.command)
    away.add_arguments(added)

    added = step(
        "golden",
        "Check the golden cases of a pack in every runtime installed here.",
        "golden models/chest-xray-adult --update-references",
        _golden,
    )
    added.add_argument("pack", type=Path, help="the pack's folder")
    added.add_argument("--update-references", action="store_true", help="first fill the answers for referred files")

    added = step(
        "card",
        "Write CARD.md from the manifest, and the same weak points into report.html.",
        "card models/chest-xray-child",
        _card,
    )
    added.add_argument("pack", type=Path, help="the pack's folder")
    added.add_argument("--words", type=Path, help="first take title, uses and weak points from this words file")

    text = "Fit the typicality model of a finished pack again; no weight changes."
    example = "familiar models/chest-xray-child --recipe converters/recipes/chest-xray-child.toml --data ~/x --out ~/y"
    added = step("familiar", text, example, _familiar)
    _add_finished_pack_arguments(added)

    text = "Make the INT8 files of a finished pack anew, from the float files that it holds; no weight changes."
    example = example.replace("familiar", "requantize", 1)
    added = step("requantize", text, example, _requantize)
    _add_finished_pack_arguments(added)

    text = "Give a network without published weights a start: learn from films of many sources, without labels."
    example = "pretrain converters/pretraining/plain.toml --data ~/films --out plain.pt"
    added = step("pretrain", text, example, _pretrain)
    added.add_argument("plan", type=Path, help="a TOML file: the network, the sources and their licences, the fit")
    added.add_argument("--data", type=Path, required=True, help="the folder that the sources' paths start from")
    added.add_argument("--out", type=Path, required=True, help="the weight file; FILE.json beside it says its origin")

    added = step("keys", "Make the keys that sign a pack repository.", "keys --out ~/publisher", tuf_keys.command)
    tuf_keys.add_arguments(added)
    example = "publish ~/packs/chest-xray-child --repository ~/repository --keys ~/publisher"
    text = "Add a finished pack to a signed repository, for a USB stick or a web server."
    added = step("publish", text, example, repository.command)
    repository.add_arguments(added)
    example = "publish-software lantern-0.4.0.raucb --ring one --box clinic-7 --repository ~/software --keys ~/keys"
    text = "Add a version of the box's software to a signed repository, or give it to more boxes: one, 5%, all."
    added = step("publish-software", text, example, software.command)
    software.add_arguments(added)
    return top


def _add_finished_pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack", type=Path, help="the finished pack's folder")
    parser.add_argument("--recipe", type=Path, required=True, help="its recipe, with the new version")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder or file")
    parser.add_argument("--out", type=Path, required=True, help="where the pack goes; the pack's own parent overwrites")


def _count(text: str) -> int:
    """A number of 0 or more."""
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def _follow(options: argparse.Namespace) -> int:
    from converters.training.steps import RecipeRun
    from converters.workflow import device

    recipe = load_recipe(options.recipe)
    work = Path(options.out) / "work" / recipe.pack
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputUnwritable(str(work), error.strerror or str(error)) from error
    with libraries_apart(work / "libraries.log"), _log(work / "log.txt"):
        if "train" in options.steps:
            fed = feedback.take_exports(work, options.add_feedback, options.feedback_key, recipe.pack)
        else:
            fed = feedback.read_remembered(work, recipe.pack)
        if fed:
            print(
                f"{recipe.pack}: {sum(len(film_set.films) for film_set in fed)} films of feedback",
                file=sys.stderr,
                flush=True,
            )
        where = options.recipe.resolve()
        run = RecipeRun(recipe=recipe, near=where.parent, data=options.data, work=work, feedback=fed, file=where.name)
        with device.use_device(getattr(options, "device", "auto"), getattr(options, "workers", 0)) as machine:
            if set(options.steps) & set(FITS):
                print(f"{recipe.pack}: {machine}", file=sys.stderr, flush=True)
            for name in options.steps:
                begun = time.monotonic()
                with device.memory_kept() if name in LEARNS else nullcontext():
                    _step(run, name, options.out)
                print(f"{recipe.pack}: {name} done, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    if "pack" in options.steps:
        print(options.out / recipe.pack)
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    from converters.pretraining import pretrain
    from converters.workflow import device

    with device.use_device("auto"), device.memory_kept():
        print(pretrain.pretrain(load_pretraining(options.plan), options.data, options.out))
    return 0


def _step(run: "RecipeRun", name: str, out: Path) -> None:
    from converters.evaluation import gate_step, operating_point
    from converters.explanation import grad_cam
    from converters.formats import model_files
    from converters.packing import pack, typicality
    from converters.quantizing import quantize_step, speed
    from converters.training import leave_out, steps

    plain: dict[str, Callable[[RecipeRun], Any]] = {
        "train": steps.train_step,
        "leave-out": leave_out.leave_out_step,
        "distill": steps.distill_step,
        "prune": steps.prune_step,
        "calibrate": operating_point.calibrate_step,
        "export": model_files.export_step,
        "quantize": quantize_step.quantize_step,
        "maps": grad_cam.maps_step,
        "typicality": typicality.typicality_step,
        "speed": speed.speed_step,
        "gate": gate_step.gate_step,
        "report": pack.report_step,
    }
    if name == "pack":
        pack.pack_step(run, out)
    else:
        plain[name](run)


class _Log:
    """A line with the time; raises :class:`OutputUnwritable` with the file's name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputUnwritable(str(path), error.strerror or str(error)) from error

    def write(self, line: str) -> None:
        try:
            self.file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")
        except OSError as error:
            raise OutputUnwritable(str(self.path), error.strerror or str(error)) from error

    def close(self) -> None:
        with suppress(OSError):  # the refusal has been printed already
            self.file.close()


class _Both:
    """Write to the terminal and, line by line with the time, to a log; progress lines stay out of the log."""

    def __init__(self, terminal: TextIO, log: _Log) -> None:
        self.terminal, self.log, self.line = terminal, log, ""

    def write(self, text: str) -> int:
        self.line += text
        *whole, self.line = self.line.split("\n")
        for line in whole:
            shown = line.rpartition("\r")[2]  # a line of progress ends in \r, and the next text stands behind it
            if shown.strip():
                self.log.write(shown)
        return self.terminal.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextmanager
def _log(path: Path) -> Iterator[None]:
    """Log stderr, and the refusal that ends the command, to ``path``."""
    log = _Log(path)
    try:
        with redirect_stderr(_Both(sys.stderr, log)):  # type: ignore[type-var]
            try:
                yield
            except (ConverterError, LanternError) as error:
                with suppress(OutputUnwritable):  # the refusal itself is what matters
                    log.write(f"refused: {error}")
                raise
    finally:
        log.close()


@contextmanager
def libraries_apart(path: Path) -> Iterator[None]:
    """Redirect what libraries log, warn of and print to ``path``, so that it does not mix with the steps' own lines.

    Loggers without a handler of their own print to stderr only as long as the root logger has none.  C++ prints to
    descriptor 2 itself, so that leads to the file, and our own lines go where it led.
    """
    file = path.open("a", encoding="utf-8", buffering=1)
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    ours = nullcontext() if _descriptor(sys.stderr) != 2 else redirect_stderr(terminal)
    os.dup2(file.fileno(), 2)
    try:
        with ours:
            yield
    finally:
        os.dup2(terminal.fileno(), 2)
        terminal.close()
        logging.captureWarnings(False)
        root.removeHandler(handler)
        file.close()


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:
        return None


def _feedback_keys(options: argparse.Namespace) -> int:
    number = feedback.make_keys(options.out).hex()
    print(f"key {number}: keep {feedback.PRIVATE} to yourself, give {feedback.PUBLIC} to clinics", file=sys.stderr)
    print(options.out / feedback.PUBLIC)
    return 0


def _golden(options: argparse.Namespace) -> int:
    from converters.golden_cases import cases
    from converters.packing import card
    from firmware_app.packs.pack_folder import Pack

    folder = options.pack.resolve()
    if options.update_references:
        print(f"{cases.update_references(folder)} references filled", file=sys.stderr)
        card.rewrite(folder)
    wrong = cases.check(Pack.load(folder))
    for line in wrong:
        print(line)
    return EXIT_REFUSED if wrong else 0


def _familiar(options: argparse.Namespace) -> int:
    from converters.shipped_packs import refit  # no step of a recipe needs it

    return refit.command(options)


def _requantize(options: argparse.Namespace) -> int:
    from converters.shipped_packs import requantize

    return requantize.command(options)


def _card(options: argparse.Namespace) -> int:
    from converters.golden_cases import cases
    from converters.packing import card
    from converters.packing.words import load_words
    from firmware_app.packs.manifest import Manifest

    folder = options.pack.resolve()
    if options.words:
        words = load_words(options.words)
        said = ("title", "intended_use", "not_for", "not_looked_for", "weak_points", "quality", "follow_up")
        fresh = {name: getattr(words, name) for name in said}
        cases.write_manifest(folder, Manifest.load(folder).model_copy(update=fresh))
    print(card.rewrite(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
