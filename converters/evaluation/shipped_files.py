"""Does each shipped file still match the shipped network? The gates judge other files, those of the folds.

The network that ships has learnt from every film outside the test part, so its accuracy cannot be judged on them.  What
can be judged is whether a file gives the same output as PyTorch, which is all that a conversion may change. Films that
the network has seen are good enough for that.  A rank correlation of the maps would not notice a shift of all of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import gates
from converters.evaluation.gates import GateOutcome, GateResult
from converters.evaluation.metrics import threshold_logit
from converters.evaluation.operating_point import finding_of
from converters.evaluation.out_of_fold import as_predictions
from converters.formats import artefacts, register
from converters.formats.artefacts import Key
from converters.formats.model_files import calibration_names
from converters.nets import CamNet
from converters.quantizing import ptq_search
from converters.recipe_tables import Gate
from converters.tasks.interface import Answers, Outputs, Task
from converters.training import fitting, steps
from converters.training.steps import RecipeRun
from firmware_app.imaging.model_input import InputSpec

MOST_FILMS = 1000
MOST_VOLUMES = 24


@dataclass(frozen=True)
class ShippedNetwork:
    """The shipped network with its outputs on some films, against which its files are judged."""

    task: Task
    net: CamNet
    spec: InputSpec
    films: NDArray[np.uint8]
    outputs: Outputs
    original: Predictions
    threshold: float
    gate: Gate

    @classmethod
    def from_run(cls, run: RecipeRun) -> Self:
        """Ask PyTorch about :func:`drawn` films."""
        net, films = steps.load_final(run, run.dataset.division.shipped), run.films(draw(run))
        pixels = run.array(films)
        outputs = fitting.outputs(net, pixels, run.task.outputs)
        scores = run.task.scores(run.task.answers(outputs, net.biases))
        threshold = threshold_logit(finding_of(run))
        original = as_predictions(films, scores)
        return cls(
            task=run.task,
            net=net,
            spec=run.spec,
            films=pixels,
            outputs=outputs,
            original=original,
            threshold=threshold,
            gate=run.recipe.gate,
        )

    def verdicts(self, path: Path, key: Key) -> list[GateResult]:
        """Judge a model file: its outputs cell by cell, or for INT8 its logits and layers; and which films it calls
        positive."""
        runtime = artefacts.choose_runtime(key[0])
        outputs = artefacts.outputs(path, runtime, self.spec, self.films, self.task.outputs)
        answers = self._answers(outputs)
        parity = gates.parity(key[1], *gates.apart(self.outputs, outputs))
        calls = gates.sensitivity(self.original, self._predictions(answers), self.threshold, self.gate)
        # The interval of the sensitivity is judged on the folds; here both answers are known film by film.
        outcome = GateOutcome.REFUSED if calls.outcome is GateOutcome.REFUSED else GateOutcome.PASSED
        called = replace(calls, gate="shipped calls", outcome=outcome, said=f"as shipped, {calls.said}")
        if parity is not None:
            return [replace(parity, gate="shipped parity", said=f"as shipped, {parity.said}"), called]
        form = register.get(key[0])
        share = [] if form.static else [gates.int8_share(form.int8_layers(path), self.gate.int8_at_least)]
        shares = [
            replace(gate_result, gate="shipped int8 share", said=f"as shipped, {gate_result.said}")
            for gate_result in share
        ]
        return [self._move(answers), *shares, called]

    def _answers(self, outputs: Outputs) -> Answers:
        return self.task.answers(outputs, self.net.biases)

    def _predictions(self, answers: Answers) -> Predictions:
        return replace(self.original, logits=self.task.scores(answers))

    def _move(self, answers: Answers) -> GateResult:
        value, margin = ptq_search.move(self._answers(self.outputs), answers), ptq_search.MOST_MOVED
        said = f"as shipped, logits move by {value:.3f} of their spread on {len(self.films)} films, allowed {margin:g}"
        outcome = GateOutcome.PASSED if value <= margin else GateOutcome.REFUSED
        return GateResult("shipped logits", outcome, value, margin, said)


def draw(run: RecipeRun) -> list[str]:
    """The names of films outside the test part, as many as are asked; those that set INT8 ranges come last. Films of
    sets with a head of their own judge nothing."""
    division = run.dataset.division
    names = list(dict.fromkeys(run.dataset.select_finding((*division.part("train"), *division.part("val")))))
    order = np.random.default_rng(run.recipe.seed).permutation(len(names))
    setting = set(calibration_names(run, division.shipped))
    ordered = sorted((names[int(index)] for index in order), key=lambda name: name in setting)
    return ordered[: MOST_FILMS if run.spec.depth is None else MOST_VOLUMES]
