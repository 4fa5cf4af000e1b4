"""``lantern-convert familiar``: fit the familiarity model of a finished pack again.

It needs only the pack and the films of its recipe. The features come from the shipped model files, so no weight
changes, and neither PyTorch nor a checkpoint is needed. It rewrites ``typicality.npz``, its entry in the manifest with
the limits, the shares and rates of the films that get a number, the version, the card, the report's version and the
sums; every other file stays as it is, bit for bit.

The recipe may ask for another crop of the input too.  Then the test part is measured anew as a whole, which is another
look at it, the golden images are asked again, and the manifest keeps how many of the other films are read otherwise now
(:class:`~firmware_app.packs.evidence.CropChange`): what was measured on those with the networks of the folds cannot be
again.

How much farther films lie that the network has not learnt from was measured on the networks of the folds when the pack
was made; these may be gone.  The factor is the manifest's, or, where that does not tell it, the limits that the pack
came with by the same films' distances now: it must be one and the same for every file, which also shows that films and
files are those of which the pack was made.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from converters.data import frozen_test_log, splits
from converters.data.datasets import FilmSet
from converters.data.preprocessing import prepare
from converters.data.recipe_data import RecipeData, input_spec, open_recipe_data
from converters.elsewhere import rows as elsewhere
from converters.evaluation import evaluate
from converters.failures import DataUnreadable, GateFailed, OutputUnwritable, RecipeInvalid
from converters.golden_cases import cases
from converters.packing import card, typicality_model
from converters.packing.typicality_model import PASSES, Features, Key
from converters.recipe import Recipe, load_recipe
from converters.report import weak_section
from converters.workflow import ledger
from converters.workflow.atomic import put_in_place
from firmware_app.core import console
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.packs import pack_folder
from firmware_app.packs.evidence import CropChange, Measurement
from firmware_app.packs.manifest import DistanceLimit, Manifest, TypicalityFile, file_sha256
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.typicality import TypicalityModel

SAME = 0.005
"""By how much the factors of a pack's files may differ: the manifest has the limits with four decimal places."""


@dataclass(frozen=True)
class Refit:
    """A finished pack, its recipe, the recipe's films, and where the looks at the test part are noted."""

    pack: Pack
    recipe: Recipe
    dataset: RecipeData
    lists: Path

    @classmethod
    def open(cls, folder: Path, recipe: Path, data: Path) -> "Refit":
        """Open all three; :class:`RecipeInvalid` or :class:`DataUnreadable` where they do not belong together."""
        pack, wanted = Pack.load(folder), load_recipe(recipe)
        pack.verify()
        if wanted.pack != pack.name:
            raise RecipeInvalid(str(recipe), f"it is the recipe of {wanted.pack}, not of {pack.name}")
        if replace(input_spec(wanted), crop=pack.manifest.input.crop) != pack.manifest.input:
            raise RecipeInvalid(str(recipe), "input: the pack was made with another, and only its crop may change")
        if wanted.version == pack.manifest.version:
            raise RecipeInvalid(str(recipe), f"version: {wanted.version} is this pack; with other limits it is another")
        if pack.manifest.typicality is None:
            raise DataUnreadable(str(folder), "the pack has no model of its films that could be fitted anew")
        lists = splits.lists_of(recipe.resolve().parent)
        return cls(pack, wanted, open_recipe_data(wanted, data, lists=lists), lists)

    @property
    def old(self) -> TypicalityFile:
        """What the pack says now."""
        assert self.pack.manifest.typicality is not None  # looked at in :meth:`of`
        return self.pack.manifest.typicality

    @property
    def spec(self) -> InputSpec:
        """The input that the pack will have."""
        return input_spec(self.recipe)

    @property
    def recropped(self) -> bool:
        """Whether the pack came with another crop."""
        return self.spec != self.pack.manifest.input

    @cached_property
    def films(self) -> FilmSet:
        """The films that the model is fitted to."""
        films = self.dataset.films.only(typicality_model.draw(self.dataset.division.shipped.train, self.recipe.seed))
        if len(films.films) != self.old.films:
            detail = f"the pack's limits were set on {self.old.films} films, and here there are {len(films.films)}"
            raise DataUnreadable(films.name, detail)
        return films

    @cached_property
    def plain(self) -> dict[Key, Features]:
        """The outputs of every model file with a limit on the unchanged films."""
        return self._extract_features(self._pixels)

    @cached_property
    def before(self) -> dict[Key, Features]:
        """The same of the films as the pack read them before."""
        return self._extract_features(prepare(self.films, self.pack.manifest.input)) if self.recropped else self.plain

    def fit(self) -> tuple[TypicalityModel, TypicalityFile]:
        """The model, and its entry in the manifest but for the file's size and digest."""
        features, groups, wider = self.plain, self._groups, self.unseen()
        varied = self.recipe.typicality.other_clinics
        if varied:
            names = [film.name for film in self.films.films]
            more = self._extract_features(typicality_model.vary(self._pixels, names, self.spec, self.recipe.seed))
            features = {key: np.concatenate([features[key], more[key]]) for key in features}
            groups = groups + groups
        model, limits = typicality_model.judge(features, groups, self.recipe.seed, wider)
        fresh = {"passes": PASSES, "films": len(self.films.films), "varied": varied, "unseen": round(wider, 4)}
        return model, self.old.model_copy(update={**fresh, "limits": limits})

    def unseen(self) -> float:
        """How much wider the pack's limits are for films that its network has not learnt from."""
        if self.old.unseen is not None:
            return self.old.unseen
        _, bare = typicality_model.judge(self.before, self._groups, self.recipe.seed, 1.0)
        return factor(self.old.limits, bare, str(self.pack.folder))

    def recut(self) -> CropChange | None:
        """What the manifest keeps of another crop; ``None`` where it is the one that the networks were trained with."""
        manifest = self.pack.manifest
        if not self.recropped:
            return manifest.recut
        was = replace(manifest.input, crop=manifest.recut.was) if manifest.recut is not None else manifest.input
        test = set(self.dataset.division.test)
        rest = [film for film in self.dataset.films.films if film.name not in test]
        other = 0
        with console.show_progress(f"{self.dataset.films.name}: read both ways") as advance:
            for done, film in enumerate(rest, 1):
                other += not np.array_equal(film.tensor(was), film.tensor(self.spec))
                advance(done, len(rest))
        return CropChange(was=was.crop, films=len(rest), other=other) if was != self.spec else None

    def measure(self, made: Pack, data: Sequence[Measurement], *, anew: bool = False) -> tuple[Measurement, ...]:
        """The rows of the manifest, with the films that get a number from ``made`` counted anew.

        With another crop, or ``anew``, the rows of the test part are new as a whole.
        """
        files = {(file.runtime, file.precision) for file in made.manifest.artefacts}
        test, rows = self.dataset.part("test"), []
        for row in data:
            whole = (anew or self.recropped) and row.split.partition("[")[0] == "test"
            asked = (row.runtime, row.precision) in files  # the networks of the folds are not in the pack
            if not asked or (row.passed is None and not whole):
                rows.append(row)
                continue
            condition = row.split.partition("[")[2].removesuffix("]")
            films = evaluate.select_where(test, condition) if condition else test
            with console.show_progress(f"{made.name} {row.precision} {row.runtime}: read") as advance:
                result, _ = evaluate.evaluate(
                    made, films, row.split, runtime=row.runtime, precision=row.precision, tick=advance
                )
            fresh = {name: value for name, value in result.row().items() if whole or "passed" in name}
            rows.append(Measurement.model_validate({**row.model_dump(), **fresh}))
        return tuple(rows)

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        return prepare(self.films, self.spec)

    @property
    def _groups(self) -> list[str]:
        return [self.dataset.group_of[film.name] for film in self.films.films]

    def _extract_features(self, pixels: NDArray[np.uint8]) -> dict[Key, Features]:
        manifest, features = self.pack.manifest, dict[Key, Features]()
        for key in ((limit.runtime, limit.precision) for limit in self.old.limits):
            print(f"{self.pack.name}: asking {key[0]} {key[1]}", file=sys.stderr, flush=True)
            session = registry.get_runtime(key[0]).load(self.pack.artefact(*key))
            features[key] = typicality_model.features(session, manifest.input, manifest.output.features or "", pixels)
        return features


def factor(old: Sequence[DistanceLimit], bare: Sequence[DistanceLimit], source: str) -> float:
    """The factor by which the limits ``old`` are wider than ``bare`` ones, at least 1.

    Raises :class:`DataUnreadable` where that is not the same for every file: then these are other films.
    """
    bare_limits: Mapping[Key, float] = {
        (distance_limit.runtime, distance_limit.precision): distance_limit.limit for distance_limit in bare
    }
    factors = [
        distance_limit.limit / bare_limits[distance_limit.runtime, distance_limit.precision] for distance_limit in old
    ]
    if max(factors) > (1.0 + SAME) * min(factors) or min(factors) < 1.0 - SAME:
        all_of = ", ".join(f"{one:.3f}" for one in factors)
        raise DataUnreadable(
            source, f"its limits were not set on these films (they are wider by {all_of}, file by file)"
        )
    return max(1.0, float(np.mean(factors)))


def refit_pack(refit: Refit, out: Path) -> Path:
    """Make ``out/<pack>``, which may be the pack's own folder, and return it. Raises :class:`OutputUnwritable`."""
    name = refit.pack.name
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".making-", dir=out) as parts:  # two packs may be made at once
            folder = Path(shutil.copytree(refit.pack.folder, Path(parts, name)))
            _write(refit, folder)
            put_in_place(folder, out / name)
    except OSError as error:
        raise OutputUnwritable(str(out / name), error.strerror or str(error)) from error
    return out / name


def _write(refit: Refit, folder: Path) -> None:
    model, entry = refit.fit()
    path = model.save(folder / entry.path)
    entry = entry.model_copy(update={"sha256": file_sha256(path), "bytes": path.stat().st_size})
    was = refit.pack.manifest
    made_by = {**was.made_by, "typicality": ledger.code()}
    manifest = was.model_copy(update={"version": refit.recipe.version, "typicality": entry, "made_by": made_by})
    day = time.strftime("%Y-%m-%d", time.gmtime())
    if refit.recropped:
        manifest = _recrop(refit, folder, manifest, day)
    cases.write_manifest(folder, manifest)
    rows = refit.measure(Pack.load(folder), was.measured)
    cases.write_manifest(
        folder, manifest.model_copy(update={"measured": rows, **elsewhere.drop_external_rows(manifest)})
    )
    weak_section.renumber(folder, refit.recipe.version, day)
    card.rewrite(folder)
    Pack.load(folder).verify()
    pack_folder.write_sums(folder)


def _recrop(refit: Refit, folder: Path, manifest: Manifest, day: str) -> Manifest:
    """The manifest with the new crop and the look at the test part that it costs.

    Raises :class:`GateFailed` where a golden image would be read otherwise: its answer was pinned with the old crop.
    """
    manifest = manifest.model_copy(update={"input": refit.spec, "recut": refit.recut()})
    cases.write_manifest(folder, manifest)
    if wrong := cases.check(Pack.load(folder)):
        raise GateFailed("golden", f"with the new crop the pack answers otherwise: {wrong[0]}")
    if manifest.test_part is None:
        return manifest
    times = frozen_test_log.record_look(
        manifest, day, refit.lists
    )  # first: an interrupted measurement counts as a use too
    return manifest.model_copy(update={"test_part": manifest.test_part.model_copy(update={"looks": times})})


def command(options: argparse.Namespace) -> int:
    """``lantern-convert familiar`` ; prints the folder and returns the exit status."""
    refit = Refit.open(options.pack.resolve(), options.recipe, options.data)
    print(refit_pack(refit, options.out.resolve()))
    return 0
