"""Golden cases: images of nobody with the answers a pack must give, and real public files by reference.

Any runtime on any machine must come within the stated tolerance of the expected probability: of the float file's own
answer in the default runtime. Films are chosen on which the runtimes agree; how far each model file lies from the
expected answers is then measured, and becomes its tolerance with room for another machine; there is a ceiling.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters import eigenfilms, outlines, phantom
from converters.datasets import FilmSet, read_grey
from converters.failures import DataUnreadable
from converters.films import prepared
from converters.material import labels_of
from firmware_app.errors import PackArtefactMissing
from firmware_app.imaging.model_input import InputSpec, to_model_input
from firmware_app.packs.manifest import Artefact, Golden, Manifest, Precision, Reference, sha256_of
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice
from firmware_app.runtimes.interface import Session
from firmware_app.tasks import classify
from firmware_app.tasks.typicality import Familiar

FOLDER = "golden"
TOLERANCE: dict[Precision, float] = {"fp32": 0.002, "int8": 0.05}
"""Of packs whose files have no measured tolerance."""

AGREED: dict[Precision, float] = {"fp32": 0.001, "fp16": 0.01, "int8": 0.025}
"""How near every runtime must come to the expected probability for a film to be taken."""

ROOM = 1.5
SMALLEST: dict[Precision, float] = {"fp32": 0.002, "fp16": 0.01, "int8": 0.02}
"""A measured tolerance is :data:`ROOM` times the largest difference seen here, and at least this."""

CEILING: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.03, "int8": 0.15}
"""No tolerance is larger: a file whose answers lie further away is refused (:mod:`converters.golden_gate`)."""

DRAWS = 30
STEPS = 400
SURE = 0.7
"""How far from the threshold towards certainty the answer for a drawn film should lie; half of that is accepted."""

FAR = 1.02
PER_LABEL = 2
MOST_OPACITIES = 3
PHANTOM_TRIES = 20


class Judge:
    """A pack loaded in every runtime that works here, all precisions, to be asked about one frame at a time."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.sessions: dict[tuple[str, Precision], Session] = {}
        self.files: dict[tuple[str, Precision], Artefact] = {}
        for runtime in choice.available():
            for precision in dict.fromkeys(artefact.precision for artefact in pack.manifest.artefacts):
                try:
                    self.files[runtime, precision] = pack.described(runtime, precision)
                except PackArtefactMissing:
                    continue
                self.sessions[runtime, precision] = choice.get(runtime).load(pack.artefact(runtime, precision))
        self.runtimes = tuple(dict.fromkeys(runtime for runtime, _ in self.sessions))
        known = {way: Familiar.of(pack, *way) for way in self.sessions if way[0] == choice.DEFAULT}
        self.familiar = {way: one for way, one in known.items() if one is not None}

    @property
    def stated(self) -> list[Precision]:
        """The precisions whose expected answers a golden case states: where a tolerance is measured, fp32 alone."""
        own = {precision: file for (runtime, precision), file in self.files.items() if runtime == choice.DEFAULT}
        return [name for name, file in own.items() if name == "fp32" or file.golden_tolerance is None]

    def ask(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> dict[str, float]:
        """Finding code → probability for a frame (H, W)."""
        manifest, activation = self.pack.manifest, self.map(frame, runtime, precision)
        if manifest.task == "segment":
            logit = {spec.code: (outlines.strongest(activation, spec), spec.calibration) for spec in manifest.findings}
            return {code: classify.probability(*told) for code, told in logit.items()}
        return {finding.code: finding.probability for finding in classify.findings(activation, manifest.findings)}

    def map(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> NDArray[np.float32]:
        """(C, h, w): the map that a file gives for a frame (H, W)."""
        manifest = self.pack.manifest
        given = {manifest.input.name: self.film(frame)}
        return self.sessions[runtime, precision].infer(given)[manifest.output.map][0]

    def logit(self, activation: NDArray[np.float32]) -> NDArray[np.float64]:
        """(F,): the logit of each finding, from a map (C, h, w)."""
        asked = outlines.strongest if self.pack.manifest.task == "segment" else classify.logit
        return np.array([asked(activation, spec) for spec in self.pack.manifest.findings])

    def strangeness(self, frame: NDArray[np.float32]) -> float:
        """How far beyond the limit of what the pack reads a frame (H, W) lies, as a share of it; 0 within it.

        The worse of the default runtime's files, the same model behind all of them.
        """
        away = 0.0
        for way, known in self.familiar.items():
            told = self.sessions[way].infer({self.pack.manifest.input.name: self.film(frame)})
            features = told[self.pack.manifest.output.features or ""].reshape(-1)
            away = max(away, known.model.distance(features) / known.limit - 1.0)
        return away

    def film(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame (H, W) as the model's input."""
        spec = self.pack.manifest.input
        if spec.depth is not None:  # its slices stand below each other in a picture
            frame = frame.reshape(spec.depth, -1, frame.shape[-1])
        return to_model_input(frame, spec)

    def expected(self, frame: NDArray[np.float32]) -> dict[Precision, dict[str, float]]:
        """What the default runtime says, per precision, rounded to four places."""
        return {
            precision: {code: round(value, 4) for code, value in self.ask(frame, choice.DEFAULT, precision).items()}
            for precision in self.stated
        }

    def apart(self, frame: NDArray[np.float32]) -> dict[tuple[str, Precision], float]:
        """How far each file's answer lies from the expected one."""
        expected = self.expected(frame)
        return {
            (runtime, precision): max(
                abs(value - expected.get(precision, expected["fp32"])[code])
                for code, value in self.ask(frame, runtime, precision).items()
            )
            for runtime, precision in self.sessions
        }

    def discord(self, frame: NDArray[np.float32]) -> float:
        """The largest difference in units of what :data:`AGREED` allows: 1 or less is agreement."""
        return max(value / AGREED[precision] for (_, precision), value in self.apart(frame).items())


def make(pack: Pack, train: FilmSet, patients: Sequence[str], body: phantom.Body, seed: int) -> list[Golden]:
    """Draw, choose and write the golden images of a pack into its folder; returns their entries.

    ``patients`` names the group of each training film. A label for which no film can be drawn that is far from every
    training film goes without, and a line says so.
    """
    judge = Judge(pack)
    (pack.folder / FOLDER).mkdir(exist_ok=True)
    made = [
        _phantom(judge, body, opacities, f"{FOLDER}/phantom-{name}.png", seed)
        for name, opacities in (("clear", 0), ("opacities", MOST_OPACITIES))
    ]
    if pack.manifest.input.depth is not None:
        return made
    found = eigenfilms.basis(prepared(train, InputSpec("basis", eigenfilms.BASIS_PX, eigenfilms.BASIS_PX)),
                             labels_of(train), seed)  # fmt: skip
    near = eigenfilms.neighbourhood(
        prepared(train, InputSpec("near", eigenfilms.DISTANCE_PX, eigenfilms.DISTANCE_PX)), patients
    )
    for label, word in ((0, "negative"), (1, "positive")):
        for number in range(1, PER_LABEL + 1):
            film = _sample(judge, found, near, label, np.random.default_rng((seed, label, number)))
            if film is None:
                print(f"golden: {STEPS} steps led to no {word} film that is far from training", file=sys.stderr)
                continue
            made.append(_entry(judge, film, f"{FOLDER}/sample-{word}-{number}.png", near))
    return made


def _sample(
    judge: Judge, found: eigenfilms.Basis, near: eigenfilms.Neighbourhood, label: int, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """A film that is of this label to the model, as surely as the steps lead, and far from training, or ``None``.

    Where the steps lead there too, it is one that the box would give a number: the demonstration shows these films.
    """
    finding = judge.pack.manifest.findings[0]
    sure = finding.threshold * (1.0 - SURE) if label == 0 else 1.0 - (1.0 - finding.threshold) * (1.0 - SURE)

    def lack(film: NDArray[np.uint8]) -> tuple[float, float]:
        """How much it lacks to be sure, and how much to be read."""
        frame = film.astype(np.float32)
        answer = judge.ask(frame, choice.DEFAULT, "fp32")[finding.code]
        return max(0.0, answer - sure if label == 0 else sure - answer), judge.strangeness(frame)

    amounts = min(
        (eigenfilms.drawn(found, label, rng) for _ in range(DRAWS)),
        key=lambda one: sum(lack(eigenfilms.rendered(found, one))),
    )
    lacking = lack(eigenfilms.rendered(found, amounts))
    kept: NDArray[np.uint8] | None = None
    for _ in range(STEPS):
        film = eigenfilms.rendered(found, amounts)
        clear = lacking[0] < abs(sure - finding.threshold) / 2.0
        if clear and near.distance(film) > FAR and judge.discord(film.astype(np.float32)) <= 1.0:
            kept = film
            if lacking == (0.0, 0.0):
                break
        tried = eigenfilms.changed(amounts, found, label, rng)
        now = lack(eigenfilms.rendered(found, tried))
        if sum(now) <= sum(lacking):
            amounts, lacking = tried, now
    return kept


def _phantom(judge: Judge, body: phantom.Body, opacities: int, path: str, seed: int) -> Golden:
    """The first drawn film on which the runtimes agree, or the one on which they come nearest to that."""
    shape = judge.pack.manifest.input.shape

    def drawn(number: int) -> NDArray[np.uint8]:
        if body != "volume":
            return phantom.film(body, opacities, number)
        return phantom.volume(opacities, number, shape).reshape(-1, shape[-1])

    best, least = drawn(seed), np.inf
    for attempt in range(PHANTOM_TRIES):
        film = drawn(seed + attempt)
        discord = judge.discord(film.astype(np.float32))
        if discord < least:
            best, least = film, discord
        if discord <= 1.0:
            break
    return _entry(judge, best, path, None)


def _entry(judge: Judge, film: NDArray[np.uint8], path: str, near: eigenfilms.Neighbourhood | None) -> Golden:
    target = judge.pack.folder / path
    Image.fromarray(film).save(target, optimize=True)
    return Golden(
        kind="phantom" if near is None else "sample", path=path, sha256=sha256_of(target),
        expected=judge.expected(film.astype(np.float32)),
        tolerance={precision: TOLERANCE[precision] for precision in judge.stated},
        distance=None if near is None else near.evidence(film),
    )  # fmt: skip


def tolerance(precision: Precision, apart: float) -> float:
    """The tolerance of a file whose answers lie ``apart`` from the expected ones at most: that with room."""
    return min(CEILING[precision], round(max(ROOM * apart, SMALLEST[precision]) + 5e-4, 3))


def frames(pack: Pack) -> list[NDArray[np.float32]]:
    """The frame (H, W) of every golden case that can be asked here."""
    known = (case for case in pack.manifest.golden if case.reference is None or located(case.reference) is not None)
    return [frame_of(pack.folder, case) for case in known]


def refer(references: Sequence[Reference]) -> list[Golden]:
    """Entries for public files, not yet filled (see :func:`update_references`)."""
    return [Golden(kind="reference", reference=one, expected={}, tolerance=TOLERANCE) for one in references]


def filled(pack: Pack) -> tuple[Golden, ...]:
    """The golden cases of a pack, with an answer to every reference whose package is installed.

    Needs the box's decoder for them. Raises :class:`DataUnreadable` when a referred file is not the one that was meant.
    """
    judge = Judge(pack)
    return tuple(
        case if case.reference is None or located(case.reference) is None
        else case.model_copy(update={"expected": judge.expected(frame_of(pack.folder, case))})
        for case in pack.manifest.golden
    )  # fmt: skip


def update_references(folder: Path) -> int:
    """Fill the expected probabilities of every reference of a pack and rewrite its manifest; returns how many.

    Raises :class:`DataUnreadable` without the referred package or when its file is not the one that was meant.
    """
    pack = Pack.load(folder)
    asked = [case.reference for case in pack.manifest.golden if case.reference is not None]
    for reference in asked:
        if located(reference) is None:
            raise DataUnreadable(reference.package, "the package is not installed (pip install it)")
    write_manifest(folder, pack.manifest.model_copy(update={"golden": filled(pack)}))
    return len(asked)


def check(pack: Pack) -> list[str]:
    """Ask every runtime here, in each precision, about every golden case; returns a sentence per wrong answer.

    A reference whose package is not installed, or that was never filled, is passed over.
    """
    judge = Judge(pack)
    wrong: list[str] = []
    for golden in pack.manifest.golden:
        if golden.reference is not None and (not golden.expected or located(golden.reference) is None):
            continue
        frame = frame_of(pack.folder, golden)
        name = golden.path or (golden.reference.file if golden.reference else "")
        for runtime, precision in judge.sessions:
            promise = pack.manifest.promise(golden, judge.files[runtime, precision])
            if promise is None:
                continue
            answers = judge.ask(frame, runtime, precision)
            for code, expected in promise[0].items():
                if abs(answers[code] - expected) > promise[1]:
                    wrong.append(f"{name}: {code} is {answers[code]:.4f} in {runtime} {precision}, not {expected:.4f}")
    return wrong


def frame_of(folder: Path, golden: Golden) -> NDArray[np.float32]:
    """The frame (H, W) of a golden case, as the box would see it. Raises :class:`DataUnreadable`."""
    if golden.reference is None:
        return read_grey(folder / str(golden.path))
    path = located(golden.reference)
    if path is None:
        raise DataUnreadable(golden.reference.package, "the package is not installed (pip install it)")
    if sha256_of(path) != golden.reference.sha256:
        raise DataUnreadable(str(path), "it is another file than the golden case means")
    from firmware_app.imaging import film

    with film.opened(path, is_picture=False) as opened:
        return opened.grey(0)


def located(reference: Reference) -> Path | None:
    """Where the referred file is installed; ``None`` without its package."""
    try:
        path = Path(str(distribution(reference.package).locate_file(reference.file)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` in one step, after reading it back as the box will."""
    text = manifest.to_json()
    Manifest.model_validate_json(text)
    part = folder / "manifest.json.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / "manifest.json")
