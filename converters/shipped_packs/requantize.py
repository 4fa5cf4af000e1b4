"""``lantern-convert requantize``: make the INT8 files of a finished pack anew, from the float files that it holds.

Neither PyTorch weights nor a checkpoint are needed: what a converter has learnt about rounding since the pack was made
reaches it without training.  The calibration films are drawn as the recipe draws them, the search, the gates and the
golden cases are those of every pack.  Two things are less than when the pack was made, and its manifest says so: the
networks of the folds are gone, so the files are judged beside the pack's own float file, on films that its network has
learnt from; and the map is compared with the float file's.  Then the limits of familiarity are fitted again, the test
part is measured with the new files, which is another look at it, and card, report and sums are written.  Float files,
threshold, calibration and golden images stay as they are, bit for bit.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import tasks
from converters.data import frozen_test_log
from converters.data.preprocessing import prepare
from converters.elsewhere import rows as elsewhere
from converters.evaluation import evaluate, gates
from converters.evaluation.baseline import Baseline
from converters.evaluation.gates import GateOutcome, GateResult
from converters.evaluation.metrics import threshold_logit
from converters.evaluation.out_of_fold import as_predictions
from converters.explanation import grad_cam
from converters.failures import OutputUnwritable, RecipeInvalid, ToolFailed
from converters.formats import artefacts, model_files, register
from converters.formats.artefacts import NAMES, SOURCE, Key
from converters.golden_cases import cases, gate
from converters.packing import card, pack_manifest
from converters.packing.measurement import as_row
from converters.packing.typicality_model import Key as FileKey
from converters.quantizing import ptq_search, speed
from converters.quantizing.ptq_search import Candidate, Search
from converters.report import page, weak_section
from converters.report.step_results import Quantized
from converters.shipped_packs.refit import Refit
from converters.tasks.classify import MAP
from converters.tasks.interface import Outputs
from converters.workflow import ledger
from converters.workflow.atomic import put_in_place
from firmware_app.core import console
from firmware_app.packs import pack_folder
from firmware_app.packs.errors import InferenceFailed
from firmware_app.packs.evidence import GateVerdict, InferenceSpeed, MapAgreement, Measurement, RefusedArtefact
from firmware_app.packs.manifest import DistanceLimit, Manifest, file_sha256
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry

INT8 = "int8"
WHERE = "beside the pack's own float file, on films that its network has learnt from: "
"""What the gates of such a file say first."""


@dataclass(frozen=True)
class Made:
    """The result for one runtime: the search, or why there is none; the files are in the pack's new folder."""

    runtime: str
    search: Search | None
    verdicts: tuple[GateResult, ...] = ()
    agreed: Mapping[str, Any] | None = None
    why_not: str = ""

    @property
    def key(self) -> Key:
        return self.runtime, INT8

    @property
    def taken(self) -> bool:
        """Whether there is a file, and every gate lets it through."""
        return not self.refusal

    @property
    def refusal(self) -> str:
        """Why there is no file, as a sentence; empty where there is one."""
        if self.search is None:
            return self.why_not
        if self.search.chosen is None:
            return min(self.search.tried, key=lambda one: one.moved).why_not
        return "; ".join(verdict.said for verdict in self.verdicts if verdict.outcome is GateOutcome.REFUSED)

    @property
    def account(self) -> dict[str, Any]:
        """What the report tells of the search."""
        return self.search.as_dict() if self.search is not None else {"chosen": None, "tried": []}


@dataclass(frozen=True)
class Requantizing:
    """A finished pack whose INT8 files are made anew, with its recipe and the recipe's films."""

    refit: Refit

    @property
    def pack(self) -> Pack:
        return self.refit.pack

    @property
    def runtimes(self) -> list[str]:
        """The runtimes for which an INT8 file can be made of what the pack holds."""
        held = {artefact.path for artefact in self.pack.manifest.artefacts}
        wanted = artefacts.list_wanted(self.refit.recipe)
        known = [one for one in register.list_formats().values() if not one.static and (one.runtime, INT8) in wanted]
        return [
            one.runtime for one in known if one.int8_from in held and one.runtime in registry.list_available_runtimes()
        ]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The films outside the test part that the finding was learnt from."""
        return self.refit.dataset.select_finding(self.refit.dataset.division.shipped.train)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(N, H, W): those films, ready for the model."""
        return prepare(self.refit.dataset.films.only(self.names), self.pack.manifest.input)

    @cached_property
    def calibration(self) -> NDArray[np.float32]:
        """(N, 1, H, W): the films that set ranges, drawn as the recipe's own step draws them."""
        drawn = model_files.draw(self.names, self.refit.recipe)
        place = {name: index for index, name in enumerate(self.names)}
        chosen = self.pixels[[place[name] for name in drawn]]
        return chosen[:, np.newaxis].astype(np.float32) / np.float32(255.0)

    @cached_property
    def original(self) -> Outputs:
        """What the float file gives for :attr:`pixels`."""
        return self._outputs(self.pack.artefact(*SOURCE), SOURCE[0])

    @cached_property
    def baseline(self) -> Baseline:
        """The float file's answers, and how another file's are judged beside them."""
        finding, films = self.pack.manifest.section.findings[0], self.refit.dataset.films.only(self.names)
        task, answers = tasks.get(self.pack.manifest.task), self.answers(self.original)
        original = as_predictions(films, task.scores(answers))
        cut, truth = threshold_logit(finding), task.truth(films, answers)
        return Baseline(
            task=task, original=original, answers=answers, threshold=cut, gate=self.refit.recipe.gate, truth=truth
        )

    @cached_property
    def answers(self) -> Any:
        """A file's outputs → the task's answers."""
        biases = np.array([getattr(self.pack.manifest.section.findings[0], "bias", 0.0)])
        return partial(tasks.get(self.pack.manifest.task).answers, biases=biases)

    def quantize(self, runtime: str, folder: Path) -> Made:
        """Search the INT8 file of a runtime, and put the one that passes into ``folder``."""
        recipe = self.refit.recipe
        rounded = artefacts.Int8Candidates(
            runtime, self.pack.manifest.input, [self.pack.folder], [self.calibration], self.answers
        )
        name = register.get(runtime).files[INT8]
        with TemporaryDirectory() as tries:
            try:
                search = ptq_search.search(
                    rounded,
                    Path(tries) / runtime,
                    self.baseline.answers,
                    logits=lambda tried: self.answers(self._outputs(tried / self.pack.folder.name / name, runtime)),
                    judge=self.baseline.verdicts,
                    gate=recipe.gate,
                    control=recipe.quantize.accuracy_control,
                )
            except (ToolFailed, InferenceFailed) as error:
                return Made(runtime, None, why_not=str(error))
            if search.chosen is None:
                return Made(runtime, search)
            path = search.chosen.path / self.pack.folder.name / name
            made = Made(runtime, search, *self._beside(search.chosen, path, runtime))
            for one in artefacts.files_of(path) if made.taken else ():
                shutil.copyfile(one, folder / one.name)
        return made

    def _beside(
        self, chosen: Candidate, path: Path, runtime: str
    ) -> tuple[tuple[GateResult, ...], Mapping[str, Any] | None]:
        """The verdicts of a file that the search chose, the gate of its map among them, and how the map agrees."""
        if not tasks.get(self.pack.manifest.task).activation_map or not self.pack.manifest.maps:
            return chosen.verdicts, None
        order = np.random.default_rng(self.refit.recipe.seed).permutation(len(self.names))[: grad_cam.FILMS]
        cells = artefacts.outputs(path, runtime, self.pack.manifest.input, self.pixels[order], (MAP,))[MAP]
        agreed = grad_cam.compare(*(array[:, 0].astype(np.float64) for array in (self.original[MAP][order], cells)))
        explained = gates.explanation(agreed["every_cell"]["mean"], self.refit.recipe.gate)
        return (*chosen.verdicts, explained), agreed

    def _outputs(self, path: Path, runtime: str) -> Outputs:
        names = tasks.get(self.pack.manifest.task).outputs
        return artefacts.outputs(path, runtime, self.pack.manifest.input, self.pixels, names)


def requantize(work: Requantizing, out: Path) -> Path:
    """Make ``out/<pack>``, which may be the pack's own folder, and return it. Raises :class:`OutputUnwritable`."""
    name = work.pack.name
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".making-", dir=out) as parts:
            folder = Path(shutil.copytree(work.pack.folder, Path(parts, name)))
            _write(work, folder)
            put_in_place(folder, out / name)
    except OSError as error:
        raise OutputUnwritable(str(out / name), error.strerror or str(error)) from error
    return out / name


def _write(work: Requantizing, folder: Path) -> None:
    was, refit = work.pack.manifest, work.refit
    wider = refit.unseen() if was.typicality is not None else 1.0  # measured on the files that are replaced now
    old = [artefact for artefact in was.artefacts if artefact.precision == INT8 and (artefact.runtime, INT8) in NAMES]
    for file in old:
        for name, _ in file.digests:
            (folder / name).unlink()
    found = [work.quantize(runtime, folder) for runtime in work.runtimes]
    new = {made.key: made for made in found if made.taken}
    fresh = [pack_manifest.entry(folder / NAMES[key], key, folder) for key in new]
    kept = [artefact for artefact in was.artefacts if artefact not in old]
    code = ledger.code()
    manifest = was.model_copy(
        update={
            "version": refit.recipe.version,
            "artefacts": _in_order((*kept, *fresh)),
            "gates": tuple(_verdict(made) for made in new.values()),
            "refused": (),
            "maps": tuple(_measure_agreement(made) for made in new.values() if made.agreed is not None),
            "typicality": _limits(was, set(new)),
            "made_by": {**was.made_by, "quantize": code, "typicality": code, "speed": code, "gates": code},
        }
    )
    cases.write_manifest(folder, manifest)
    manifest = _golden(work, Pack.load(folder), was, found)
    manifest = _familiar(replace(refit, pack=_read_pack(folder, manifest)), wider, folder)
    manifest = manifest.model_copy(update={"speed": tuple(_speeds(_read_pack(folder, manifest)))})
    day = time.strftime("%Y-%m-%d", time.gmtime())
    if manifest.test_part is not None:
        # First: an interrupted measurement counts as a use too.
        times = frozen_test_log.record_look(manifest, day, refit.lists)
        part = manifest.test_part.model_copy(update={"looks": times})
        manifest = manifest.model_copy(update={"test_part": part})
    rows = _measure(work, _read_pack(folder, manifest))
    cases.write_manifest(
        folder, manifest.model_copy(update={"measured": rows, **elsewhere.drop_external_rows(manifest)})
    )
    weak_section.renumber(folder, refit.recipe.version, day)
    searches = [Quantized.from_dict(made.runtime, made.account) for made in found]
    weak_section.add(
        folder, page.requantize(searches, {made.runtime: made.refusal for made in found}, was.version, day)
    )
    card.rewrite(folder)
    Pack.load(folder).verify()
    pack_folder.write_sums(folder)


def _read_pack(folder: Path, manifest: Manifest) -> Pack:
    cases.write_manifest(folder, manifest)
    return Pack.load(folder)


def _golden(work: Requantizing, pack: Pack, was: Manifest, found: Sequence[Made]) -> Manifest:
    """The manifest with the new files judged on the golden cases; the entries of the other files stay as they were."""
    output = pack.manifest.output.features

    def original(film: NDArray[np.float32]) -> Outputs:
        given = registry.get_runtime(SOURCE[0]).load(pack.artefact(*SOURCE)).infer({pack.manifest.input.name: film})
        return {name: values for name, values in given.items() if name != output}

    judged = gate.judge(pack, original)
    manifest = gate.drop_refused(pack, judged)
    before = {artefact.path: artefact for artefact in was.artefacts if artefact.precision != INT8}
    gone = [RefusedArtefact(runtime=made.runtime, precision=INT8, why=made.refusal) for made in found if not made.taken]
    floats = [
        gate_verdict
        for gate_verdict in was.gates
        if gate_verdict.precision != INT8 or (gate_verdict.runtime, INT8) not in NAMES
    ]
    return manifest.model_copy(
        update={
            "artefacts": tuple(before.get(artefact.path, artefact) for artefact in manifest.artefacts),
            "gates": _in_order((*floats, *manifest.gates)),
            "maps": _in_order(
                (*(map_agreement for map_agreement in was.maps if map_agreement.precision != INT8), *manifest.maps)
            ),
            "refused": (
                *(refused_artefact for refused_artefact in was.refused if refused_artefact.precision != INT8),
                *gone,
                *manifest.refused,
            ),
        }
    )


def _in_order(entries: Sequence[Any]) -> tuple[Any, ...]:
    """Entries of files in the order in which packs list these."""
    places = {key: place for place, key in enumerate((*NAMES, *artefacts.EXTRAS))}
    return tuple(sorted(entries, key=lambda one: places.get((one.runtime, one.precision), len(places))))


def _limits(was: Manifest, fresh: set[Key]) -> Any:
    """The entry of the familiarity model with a limit for every file of the new pack, still to be set."""
    if was.typicality is None:
        return None
    known: dict[FileKey, DistanceLimit] = {(limit.runtime, limit.precision): limit for limit in was.typicality.limits}
    anywhere = next(iter(known.values()))
    keys = [key for key in NAMES if key in fresh or (key[1] != INT8 and key in known)]
    limits = tuple(
        DistanceLimit.model_validate({"runtime": key[0], "precision": key[1], "limit": known.get(key, anywhere).limit})
        for key in keys
    )
    return was.typicality.model_copy(update={"limits": limits})


def _familiar(refit: Refit, wider: float, folder: Path) -> Manifest:
    """The manifest of ``refit``'s pack with the model of its films fitted to what its files say now."""
    manifest = refit.pack.manifest
    if manifest.typicality is None:
        return manifest
    noted = manifest.model_copy(update={"typicality": manifest.typicality.model_copy(update={"unseen": wider})})
    model, entry = replace(refit, pack=_read_pack(folder, noted)).fit()
    path = model.save(folder / entry.path)
    entry = entry.model_copy(update={"sha256": file_sha256(path), "bytes": path.stat().st_size})
    return noted.model_copy(update={"typicality": entry})


def _speeds(pack: Pack) -> list[InferenceSpeed]:
    """The time of each file of the new pack, in turns; the networks in PyTorch are not at hand."""
    manifest, found = pack.manifest, []
    for artefact in manifest.artefacts:
        key = (artefact.runtime, artefact.precision)
        if key in NAMES:
            size = artefact.bytes + sum(file.bytes for file in artefact.files)
            found.append(speed.build_call(key, pack.folder / artefact.path, manifest.input, size))
    rows = speed.measure_time(found, f"{pack.name}: timed")
    return [
        InferenceSpeed(
            runtime=row["runtime"],
            precision=row["precision"],
            milliseconds=row["milliseconds"],
            low=row["low"],
            high=row["high"],
            threads=speed.THREADS,
            machine=speed.read_processor_name(),
        )
        for row in rows
    ]


def _measure(work: Requantizing, made: Pack) -> tuple[Measurement, ...]:
    """The rows of the test part anew, file by file, with those of new files; other rows as they were."""
    old, test = work.pack.manifest.measured, work.refit.dataset.part("test")
    like = next((row for row in old if (row.split, row.runtime, row.precision) == ("test", *SOURCE)), None)
    rows: list[Measurement] = []
    if like is not None:
        held = {(artefact.runtime, artefact.precision) for artefact in made.manifest.artefacts}
        read = [key for key in NAMES if key in held]
        read += [key for row in old if row.split == "test" and (key := (row.runtime, row.precision)) not in NAMES]
        for runtime, precision in dict.fromkeys(read):
            with console.show_progress(f"{made.name} {precision} {runtime}: read") as advance:
                result, _ = evaluate.evaluate(made, test, "test", runtime=runtime, precision=precision, tick=advance)
            words = like.command.replace(f"--runtime {SOURCE[0]}", f"--runtime {runtime}")
            rows.append(as_row(result, words.replace(f"--precision {SOURCE[1]}", f"--precision {precision}")))
    rest = [row for row in old if row.split != "test"]
    return (*rows, *replace(work.refit, pack=made).measure(made, rest, anew=True))


def _verdict(made: Made) -> GateVerdict:
    said = "; ".join(verdict.said for verdict in made.verdicts)
    outcome = gates.gravest({verdict.outcome for verdict in made.verdicts})
    return GateVerdict.model_validate(
        {"runtime": made.runtime, "precision": INT8, "outcome": outcome.value, "said": WHERE + said}
    )


def _measure_agreement(made: Made) -> MapAgreement:
    assert made.agreed is not None
    return pack_manifest.measure_agreement({"runtime": made.runtime, "precision": INT8, **made.agreed})


def command(options: argparse.Namespace) -> int:
    """``lantern-convert requantize`` with the options of ``familiar``; prints the folder; the exit status."""
    work = Requantizing(Refit.open(options.pack.resolve(), options.recipe, options.data))
    if work.refit.recropped:
        raise RecipeInvalid(str(options.recipe), "input: the crop is changed by `lantern-convert familiar`")
    if len(work.pack.manifest.findings) > 1 or getattr(work.pack.manifest.output, "biases", None):
        raise RecipeInvalid(str(options.recipe), "its pack has more than one finding; train it anew instead")
    if not work.runtimes:
        raise RecipeInvalid(str(options.recipe), "[export]: it asks for no INT8 file that can be made of this pack")
    print(f"{work.pack.name}: {len(work.names)} films", file=sys.stderr, flush=True)
    print(requantize(work, options.out.resolve()))
    return 0
