"""Is each file that ships still the network that ships?  The folds' files, which the gates judge, are others.

The network that ships has learnt from every film outside the test part, so its accuracy cannot be judged on them.  What
can be, and is all that making a file may change, is whether the file says of each film what PyTorch says: films that
the network has seen are good enough for that.  A rank correlation of the maps would not notice a shift of all of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from converters import steps
from converters.data.predictions import Predictions
from converters.evaluation import gates, judging
from converters.evaluation.answers import eager_maps, said_of
from converters.evaluation.gates import Outcome, Verdict
from converters.evaluation.judging import Answers
from converters.evaluation.measures import threshold_logit
from converters.evaluation.operating_point import finding_of
from converters.formats import artefacts
from converters.formats.artefacts import Key
from converters.nets import CamNet
from converters.quantizing import quantize
from converters.quantizing.model_files import calibration_names
from converters.recipe import Gate
from converters.steps import Workshop
from firmware_app.imaging.model_input import InputSpec

MOST_FILMS = 1000
MOST_VOLUMES = 24


@dataclass(frozen=True)
class Shipped:
    """The network that ships with what it says of some films, and how a file of it is judged beside that."""

    net: CamNet
    spec: InputSpec
    films: NDArray[np.uint8]
    maps: NDArray[np.float32]
    original: Predictions
    threshold: float
    gate: Gate

    @classmethod
    def of(cls, shop: Workshop) -> Self:
        """Ask PyTorch about :func:`drawn` films."""
        net, films = steps.final(shop, shop.material.division.shipped), shop.films(drawn(shop))
        pixels = shop.array(films)
        maps = eager_maps(net, pixels)
        logits = judging.film_logits(judging.answers(maps, net.first_bias, net.outlines))
        threshold = threshold_logit(finding_of(shop))
        return cls(net, shop.spec, pixels, maps, said_of(films, logits), threshold, shop.recipe.gate)

    def verdicts(self, path: Path, key: Key) -> list[Verdict]:
        """Of a model file: its maps cell by cell, or, of INT8, its logits; and whom it calls positive."""
        maps = artefacts.maps(path, artefacts.asked_in(key[0]), self.spec, self.films)
        told = self._answers(maps)
        found = gates.parity(key[1], *gates.apart(self.maps, maps))
        calls = gates.sensitivity(self.original, self._predictions(told), self.threshold, self.gate)
        # How sure one may be of a sensitivity is the folds' matter: here both answers are known, film by film.
        outcome = Outcome.REFUSED if calls.outcome is Outcome.REFUSED else Outcome.PASSED
        called = replace(calls, gate="shipped calls", outcome=outcome, said=f"as shipped, {calls.said}")
        if found is not None:
            return [replace(found, gate="shipped parity", said=f"as shipped, {found.said}"), called]
        return [self._moved(told), called]

    def _answers(self, maps: NDArray[np.float32]) -> Answers:
        return judging.answers(maps, self.net.first_bias, self.net.outlines)

    def _predictions(self, told: Answers) -> Predictions:
        return replace(self.original, logits=judging.film_logits(told))

    def _moved(self, told: Answers) -> Verdict:
        value, margin = quantize.moved(self._answers(self.maps), told), quantize.MOST_MOVED
        said = f"as shipped, logits move by {value:.3f} of their spread on {len(self.films)} films, allowed {margin:g}"
        return Verdict("shipped logits", Outcome.PASSED if value <= margin else Outcome.REFUSED, value, margin, said)


def drawn(shop: Workshop) -> list[str]:
    """The names of films outside the test part, as many as are asked; those that set INT8 ranges come last."""
    division = shop.material.division
    names = list(dict.fromkeys((*division.part("train"), *division.part("val"))))
    order = np.random.default_rng(shop.recipe.seed).permutation(len(names))
    setting = set(calibration_names(shop, division.shipped))
    ordered = sorted((names[int(index)] for index in order), key=lambda name: name in setting)
    return ordered[: MOST_FILMS if shop.spec.depth is None else MOST_VOLUMES]
