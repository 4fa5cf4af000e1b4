"""The images of golden cases, of no patient: phantoms, and films drawn at random like the training films.

Films are chosen on which the runtimes agree, that the model is sure of, and that are far from every training film.
"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.data.datasets import FilmSet
from converters.data.preprocessing import prepare
from converters.data.recipe_data import labels_of
from converters.golden_cases.all_runtimes import AllRuntimes
from converters.golden_cases.cases import FOLDER, TOLERANCE
from converters.synthetic_images import eigenfilms, phantom
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.evidence import GoldenCase
from firmware_app.packs.manifest import file_sha256
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry

DRAWS = 30
STEPS = 400
SURE = 0.7
"""How far from the threshold towards certainty the answer for a drawn film should lie; half of that is accepted."""

FAR = 1.02
LONGER, SHORTER = 1.5, 0.9
"""The next step is longer after one that led nearer, shorter after one that did not (Rechenberg 1973). With steps of
one length no positive film was found for the breast pack."""

PER_LABEL = 2
MOST_OPACITIES = 3
PHANTOM_TRIES = 20


def make(pack: Pack, train: FilmSet, patients: Sequence[str], body: phantom.Body, seed: int) -> list[GoldenCase]:
    """Draw, choose and write the golden images of a pack into its folder; returns their entries.

    ``patients`` names the group of each training film. A label for which no film can be drawn that is far from every
    training film goes without, and a line says so.
    """
    judge = AllRuntimes(pack)
    (pack.folder / FOLDER).mkdir(exist_ok=True)
    made = [
        _phantom(judge, body, opacities, f"{FOLDER}/phantom-{name}.png", seed)
        for name, opacities in (("clear", 0), ("opacities", MOST_OPACITIES))
    ]
    if pack.manifest.input.depth is not None:
        return made
    basis = eigenfilms.basis(
        prepare(train, InputSpec("basis", eigenfilms.BASIS_PX, eigenfilms.BASIS_PX)), labels_of(train), seed
    )
    near = eigenfilms.neighbourhood(
        prepare(train, InputSpec("near", eigenfilms.DISTANCE_PX, eigenfilms.DISTANCE_PX)), patients
    )
    for label, word in ((0, "negative"), (1, "positive")):
        for number in range(1, PER_LABEL + 1):
            film = _sample(judge, basis, near, label, np.random.default_rng((seed, label, number)))
            if film is None:
                print(f"golden: {STEPS} steps led to no {word} film that is far from training", file=sys.stderr)
                continue
            made.append(_entry(judge, film, f"{FOLDER}/sample-{word}-{number}.png", near))
    return made


def _sample(
    judge: AllRuntimes, basis: eigenfilms.Basis, near: eigenfilms.Neighbourhood, label: int, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """A film that is of this label to the model, as surely as the steps lead, and far from training, or ``None``.

    Where the steps lead there too, it is one that the box would give a number: the demonstration shows these films.
    """
    finding = judge.pack.manifest.findings[0]
    sure = finding.threshold * (1.0 - SURE) if label == 0 else 1.0 - (1.0 - finding.threshold) * (1.0 - SURE)

    def lack(film: NDArray[np.uint8]) -> tuple[float, float, float]:
        """How much it lacks to be sure, to be read, and to be far from training."""
        frame = film.astype(np.float32)
        answer = judge.probability(frame, registry.DEFAULT, "fp32")
        unsure = max(0.0, answer - sure if label == 0 else sure - answer)
        return unsure, judge.measure_unfamiliarity(frame), max(0.0, FAR - near.distance(film))

    amounts = min(
        (eigenfilms.draw(basis, label, rng) for _ in range(DRAWS)),
        key=lambda one: sum(lack(eigenfilms.render(basis, one))),
    )
    lacking = lack(eigenfilms.render(basis, amounts))
    kept: NDArray[np.uint8] | None = None
    step = eigenfilms.FIRST_STEP
    for _ in range(STEPS):
        film = eigenfilms.render(basis, amounts)
        clear = lacking[0] < abs(sure - finding.threshold) / 2.0
        if clear and lacking[2] == 0.0 and judge.measure_disagreement(film.astype(np.float32)) <= 1.0:
            kept = film
            if sum(lacking) == 0.0:
                break
        tried = eigenfilms.change(amounts, basis, label, step, rng)
        now = lack(eigenfilms.render(basis, tried))
        better = sum(now) <= sum(lacking)
        step *= LONGER if better else SHORTER
        if better:
            amounts, lacking = tried, now
    return kept


def _phantom(judge: AllRuntimes, body: phantom.Body, opacities: int, path: str, seed: int) -> GoldenCase:
    """The first drawn film on which the runtimes agree, or the one on which they come nearest to that."""
    spec = judge.pack.manifest.input

    def draw(number: int) -> NDArray[np.uint8]:
        if body == "volume":
            return phantom.volume(opacities, number, spec.shape).reshape(-1, spec.shape[-1])
        film = phantom.film(body, opacities, number)
        if spec.resize == "letterbox":  # narrower than the model's input, so that a box proves its bars too
            film = film[:, film.shape[1] // 8 : -film.shape[1] // 8]
        if spec.channels == 3:  # and the order of its colours
            film = np.stack([film, film // 2, film // 4], axis=-1)
        return film

    best, least = draw(seed), np.inf
    for attempt in range(PHANTOM_TRIES):
        film = draw(seed + attempt)
        discord = judge.measure_disagreement(film.astype(np.float32))
        if discord < least:
            best, least = film, discord
        if discord <= 1.0:
            break
    return _entry(judge, best, path, None)


def _entry(judge: AllRuntimes, film: NDArray[np.uint8], path: str, near: eigenfilms.Neighbourhood | None) -> GoldenCase:
    target = judge.pack.folder / path
    Image.fromarray(film).save(target, optimize=True)
    return GoldenCase(
        kind="phantom" if near is None else "sample",
        path=path,
        sha256=file_sha256(target),
        expected=judge.record_expected(film.astype(np.float32)),
        tolerance={precision: TOLERANCE[precision] for precision in judge.stated_precisions},
        distance=None if near is None else near.evidence(film),
    )
