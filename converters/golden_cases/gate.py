"""The golden gate: which model files of a pack answer its golden cases as they must; the others leave the pack.

Every file: no probability further from the expected one than :data:`converters.golden_cases.cases.CEILING` allows, in
any runtime that reads it.  FP32 and FP16 files also give the logit of the PyTorch network that ships.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import gates
from converters.evaluation.gates import GateOutcome, GateResult
from converters.failures import GateFailed
from converters.formats import artefacts
from converters.formats.artefacts import Key
from converters.golden_cases import cases
from converters.golden_cases.all_runtimes import AllRuntimes
from converters.tasks.interface import Outputs
from firmware_app.packs.evidence import RefusedArtefact
from firmware_app.packs.manifest import Artefact, Manifest
from firmware_app.packs.pack_folder import Pack

Original = Callable[[NDArray[np.float32]], Outputs]
"""A film (1, 1, H, W) → what the network that ships gives, in PyTorch, a batch of one."""


@dataclass(slots=True)
class Differences:
    """How far a file was at most: from the expected answer, and from the original in its answer and in a cell."""

    probability: float = 0.0
    answer: float = 0.0
    cells: float = 0.0


@dataclass(frozen=True, slots=True)
class GoldenResults:
    """What the golden cases say of each model file, by its path."""

    seen: dict[str, Differences]
    verdicts: dict[str, list[GateResult]] = field(default_factory=dict)

    def refusals(self, files: Iterable[Artefact]) -> dict[Key, list[GateResult]]:
        """The refusing verdicts of every refused file, by runtime and precision."""
        refused: dict[Key, list[GateResult]] = {}
        for file in files:  # a file for another machine, of the same kind, is asked in none and has no verdict
            against = [
                gate_result
                for gate_result in self.verdicts.get(file.path, ())
                if gate_result.outcome is GateOutcome.REFUSED
            ]
            if against:
                refused[file.runtime, file.precision] = against
        return refused


def judge(pack: Pack, original: Original) -> GoldenResults:
    """Run every file on every golden case that is available here."""
    judge = AllRuntimes(pack)
    seen: dict[str, Differences] = {}
    for frame in cases.frames(pack):
        wanted = original(judge.film(frame))
        for key, away in judge.measure_differences(frame).items():
            file = judge.files[key]
            worst = seen.setdefault(file.path, Differences())
            worst.probability = max(worst.probability, away if np.isfinite(away) else np.inf)
            if file.runtime == key[0]:
                outputs = judge.outputs(frame, *key)
                worst.cells = max(worst.cells, gates.apart(wanted, outputs)[1])
                worst.answer = max(worst.answer, judge.parity(wanted, outputs))
    files = {file.path: file for file in judge.files.values()}
    verdicts = {path: _verdicts(files[path], worst, judge.task.parity_of) for path, worst in seen.items()}
    return GoldenResults(seen, verdicts)


def _verdicts(file: Artefact, seen: Differences, parity_of: str) -> list[GateResult]:
    margin = cases.CEILING[file.precision]
    said = f"on the golden cases, largest difference from the expected probability {seen.probability:.3f}, "
    outcome = GateOutcome.PASSED if seen.probability <= margin else GateOutcome.REFUSED
    golden = GateResult("golden", outcome, seen.probability, margin, f"{said}allowed {margin:g}")
    parity = gates.golden_parity(file.precision, seen.answer, seen.cells, parity_of)
    return [golden, *([parity] if parity else [])]


def drop_refused(pack: Pack, results: GoldenResults) -> Manifest:
    """Return the manifest with measured tolerances, and delete refused files with their companions from the folder.

    Raises :class:`GateFailed` when the float ONNX file itself is refused.
    """
    manifest = pack.manifest
    against = results.refusals(manifest.artefacts)
    lost = {key: "; ".join(gate_result.said for gate_result in worst) for key, worst in against.items()}
    if artefacts.SOURCE in lost:
        raise GateFailed("golden", f"the float ONNX file itself was refused: {lost[artefacts.SOURCE]}")
    kept = []
    for artefact in manifest.artefacts:
        if (artefact.runtime, artefact.precision) not in lost:
            worst = results.seen.get(artefact.path)
            room = None if worst is None else cases.tolerance(artefact.precision, worst.probability)
            kept.append(artefact.model_copy(update={"golden_tolerance": room}))
            continue
        for name, _ in artefact.digests:
            (pack.folder / name).unlink()
    said = {(one.runtime, one.precision): [each.said for each in results.verdicts.get(one.path, ())] for one in kept}
    passed = tuple(
        gate.model_copy(update={"said": "; ".join((gate.said, *said.get((gate.runtime, gate.precision), ())))})
        for gate in manifest.gates
        if (gate.runtime, gate.precision) not in lost
    )
    refused = (
        RefusedArtefact(
            runtime=artefact.runtime, precision=artefact.precision, why=lost[artefact.runtime, artefact.precision]
        )
        for artefact in manifest.artefacts
        if (artefact.runtime, artefact.precision) in lost
    )
    typical = manifest.typicality
    if typical is not None:
        limits = tuple(limit for limit in typical.limits if (limit.runtime, limit.precision) not in lost)
        typical = typical.model_copy(update={"limits": limits})
    return manifest.model_copy(
        update={
            "artefacts": tuple(kept),
            "gates": passed,
            "refused": (*manifest.refused, *refused),
            "typicality": typical,
            "maps": tuple(
                map_agreement
                for map_agreement in manifest.maps
                if (map_agreement.runtime, map_agreement.precision) not in lost
            ),
        }
    )
