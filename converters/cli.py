"""``lantern-convert``: from films and a recipe to a pack, step by step or in one go.

Only `train`, `export`, `quantize` and `run` need the extra ``convert`` (PyTorch); the other commands do not import it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from converters.failures import ConverterError, DataUnreadable
from converters.recipe import Recipe, load_recipe
from firmware_app.errors import LanternError

EXIT_REFUSED = 1
CALIBRATION_FILMS = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or 1 with one sentence on stderr."""
    options = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (ConverterError, LanternError, FileNotFoundError) as error:
        print(f"lantern-convert: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"lantern-convert: this step needs {error.name}: pip install 'lantern-box[convert]'", file=sys.stderr)
    except KeyboardInterrupt:
        print("lantern-convert: stopped; the same command goes on from the last finished epoch", file=sys.stderr)
    return EXIT_REFUSED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="lantern-convert", description=(__doc__ or "").split("\n")[0].replace("``", ""))
    steps = top.add_subparsers(metavar="COMMAND", required=True)

    def step(
        name: str, text: str, example: str, command: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:  # fmt: skip
        added = steps.add_parser(
            name, help=text, description=text, epilog=f"example:\n  lantern-convert {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.set_defaults(command=command)
        return added

    recipe = "converters/recipes/chest-xray-child.toml --data ~/chest-xray --out ~/packs"
    for name, text, command in (
        ("run", "Follow a whole recipe: train, export, quantize, pack.", _run),
        ("train", "Fit the network; an interrupted run goes on where it stopped.", _train),
        ("export", "Write the trained network as ONNX.", _export),
        ("quantize", "Write the INT8 file and check it against the recipe's gate.", _quantize),
        ("pack", "Calibrate, choose the threshold, draw golden cases, measure once, write manifest and card.", _pack),
    ):
        added = step(name, text, f"{name} {recipe}", command)
        added.add_argument("recipe", type=Path, help="the recipe, a TOML file")
        added.add_argument("--data", type=Path, required=True, help="the data set's folder or file")
        added.add_argument("--out", type=Path, required=True, help="where the pack goes; checkpoints go to OUT/work")

    example = "evaluate models/chest-xray-child --data ~/films --positive PNEUMONIA --json"
    added = step("evaluate", "Measure a pack on labelled films.", example, _evaluate)
    added.add_argument("pack", type=Path, help="the pack's folder")
    added.add_argument("--data", type=Path, required=True, help="DIR/<CLASS>/*, an NIH-form folder, or a MedMNIST .npz")
    added.add_argument("--positive", help="the positive class folder (or label number); else the finding's code")
    added.add_argument("--split", help="train, val, test (the committed list), under-18, or one of the .npz; else all")
    added.add_argument("--where", metavar="TRAIT=VALUE", help="only films with this trait, such as view=AP")
    added.add_argument("--runtime", default="onnxruntime", choices=("onnxruntime", "openvino"))
    added.add_argument("--precision", choices=("fp32", "int8"), help="default: int8, as the box reads, else fp32")
    added.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")

    added = step("golden", "Check the golden cases of a pack in every runtime installed here.",
                 "golden models/chest-xray-adult --update-references", _golden)  # fmt: skip
    added.add_argument("pack", type=Path, help="the pack's folder")
    added.add_argument("--update-references", action="store_true", help="first fill the answers for referred files")

    added = step("card", "Write CARD.md from the manifest.", "card models/chest-xray-child", _card)
    added.add_argument("pack", type=Path, help="the pack's folder")
    added.add_argument("--words", type=Path, help="first take title, uses and weak points from this words file")
    return top


def _open(options: argparse.Namespace) -> tuple[Recipe, Path]:
    recipe = load_recipe(options.recipe)
    work = Path(options.out) / "work"
    (work / recipe.pack).mkdir(parents=True, exist_ok=True)
    return recipe, work


def _run(options: argparse.Namespace) -> int:
    return _train(options) or _export(options) or _quantize(options) or _pack(options)


def _train(options: argparse.Namespace) -> int:
    from converters import distil, train
    from converters.films import prepared
    from converters.material import input_spec, labels_of, open_material

    recipe, work = _open(options)
    material = open_material(recipe, options.data)
    spec, parts = input_spec(recipe), {}
    for name in ("train", "val"):
        films = material.part(name)
        softened = recipe.train.teacher_weight if name == "train" else 0.0
        aim = distil.targets(films, softened, recipe.train.balance)
        parts[name] = train.Part(prepared(films, spec), labels_of(films), aim)
    start = None
    if recipe.train.start not in ("imagenet", "random"):
        start = work / f"{recipe.train.start}.pt"
        if not start.is_file():
            raise DataUnreadable(str(start), f"train {recipe.train.start} first with the same --out")
    train.fit(recipe, parts["train"], parts["val"], work, start)
    return 0


def _export(options: argparse.Namespace) -> int:
    from converters import export, train
    from converters.material import input_spec

    recipe, work = _open(options)
    net = train.trained(work / f"{recipe.pack}.pt")
    bias = export.export(net, input_spec(recipe), work / recipe.pack / "model.fp32.onnx")
    _note(work / recipe.pack / "export.json", {"bias": round(bias, 6), "opset": export.OPSET})
    return 0


def _quantize(options: argparse.Namespace) -> int:
    import numpy as np
    from numpy.typing import NDArray

    from converters import export, quantize
    from converters.films import prepared
    from converters.material import input_spec, labels_of, open_material

    recipe, work = _open(options)
    material, spec = open_material(recipe, options.data), input_spec(recipe)
    train, val = material.part("train"), material.part("val")
    chosen = np.random.default_rng(recipe.seed).permutation(len(train.films))[:CALIBRATION_FILMS]
    films = prepared(train.only([train.films[int(index)].name for index in chosen]), spec)
    seen, labels = prepared(val, spec)[:, np.newaxis].astype(np.float32) / 255.0, labels_of(val)

    def logits_of(path: Path) -> NDArray[np.float64]:
        maps = [export.run(path, spec, seen[start : start + 16]) for start in range(0, len(seen), 16)]
        return np.asarray(np.concatenate(maps)[:, 0].mean(axis=(1, 2), dtype=np.float64), dtype=np.float64)

    folder = work / recipe.pack
    best = quantize.quantize(
        folder / "model.fp32.onnx", folder / "model.int8.onnx", films, spec.name, labels, logits_of,
        recipe.gate.int8_auc_loss,
    )  # fmt: skip
    note = {"method": best.method, "spared": best.spared, "val_auc": round(best.auc, 4), "moved": round(best.moved, 4)}
    _note(folder / "quantize.json", note)
    return 0


def _pack(options: argparse.Namespace) -> int:
    from converters import pack
    from converters.words import load_words

    recipe, work = _open(options)
    words = load_words(options.recipe.parent / recipe.describe)
    made = pack.assemble(recipe, words, options.data, work, options.out)
    print(made.folder)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from converters import evaluate
    from converters.progress import Progress
    from firmware_app.packs.shelf import Pack

    pack = Pack.load(options.pack.resolve())
    films, split = evaluate.chosen_films(pack, options.data, options.positive, options.split)
    if options.where:
        films, split = evaluate.where(films, options.where), f"{split}[{options.where}]"
    has_int8 = any(artefact.precision == "int8" for artefact in pack.manifest.artefacts)
    precision = options.precision or ("int8" if has_int8 else "fp32")
    progress = Progress(f"{pack.name} {precision} {options.runtime}", len(films.films))
    result = evaluate.evaluate(pack, films, split, options.runtime, precision, progress.at)
    print(json.dumps(result.as_dict()) if options.json else evaluate.table(result))
    return 0


def _golden(options: argparse.Namespace) -> int:
    from converters import card, golden
    from firmware_app.packs.shelf import Pack

    folder = options.pack.resolve()
    if options.update_references:
        print(f"{golden.update_references(folder)} references filled", file=sys.stderr)
        card.write(folder)
    wrong = golden.check(Pack.load(folder))
    for line in wrong:
        print(line)
    return EXIT_REFUSED if wrong else 0


def _card(options: argparse.Namespace) -> int:
    from converters import card, golden
    from converters.words import load_words
    from firmware_app.packs.manifest import Manifest

    folder = options.pack.resolve()
    if options.words:
        words = load_words(options.words)
        fresh = {name: getattr(words, name) for name in ("title", "intended_use", "not_for", "weak_points")}
        golden.write_manifest(folder, Manifest.load(folder).model_copy(update=fresh))
    print(card.write(folder))
    return 0


def _note(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values) + "\n", encoding="utf-8")
    print(json.dumps(values), file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
