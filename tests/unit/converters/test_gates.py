"""A gate refuses what lost too much, passes what did not, and says where it cannot tell."""

import numpy as np
import pytest

from converters.data.predictions import Predictions
from converters.evaluation import gates
from converters.evaluation.gates import GateOutcome, GateResult
from converters.recipe_tables import Gate

THRESHOLD = 0.0


def original(count: int, positives: int, seed: int = 0) -> Predictions:
    """A good model: its logits part the classes by four spreads, so that its AUC is near 1."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) < positives).astype(np.int64)
    logits = rng.standard_normal(count) + np.where(labels == 1, 2.5, -2.5)
    names = tuple(f"film{index}" for index in range(count))
    return Predictions(names, labels, names, logits)


def change_logits(one: Predictions, logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Predictions:
    return Predictions(one.names, one.labels, one.patients, logits)


def verdict(name: str, one: Predictions, other: Predictions, gate: Gate | None = None) -> GateResult:
    (gate_result,) = [made for made in gates.judge(one, other, THRESHOLD, gate or Gate()) if made.gate == name]
    return gate_result


def test_a_faithful_file_passes_both_gates() -> None:
    one = original(6000, 3000)
    noise = np.random.default_rng(1).standard_normal(6000)
    made = gates.judge(one, change_logits(one, one.logits + 0.02 * noise), THRESHOLD, Gate())
    assert [gate_result.outcome for gate_result in made] == [GateOutcome.PASSED, GateOutcome.PASSED]
    assert gates.worst(made) is GateOutcome.PASSED


def test_the_auc_gate_refuses_a_model_that_orders_films_worse() -> None:
    one = original(2000, 1000)
    noise = np.random.default_rng(1).standard_normal(2000)
    gate_result = verdict("auc", one, change_logits(one, one.logits + 4.0 * noise))
    assert gate_result.outcome is GateOutcome.REFUSED
    assert gate_result.measured < -0.005
    assert "allowed -0.005" in gate_result.said


def test_the_auc_gate_cannot_tell_on_its_border() -> None:
    one = original(240, 120)
    logits = one.logits.copy()
    lost = np.flatnonzero(one.labels == 1)[0]
    logits[lost] = np.sort(one.logits[one.labels == 0])[-60]  # half of the negatives are above one positive: 0.0042
    gate_result = verdict("auc", one, change_logits(one, logits))
    assert -0.005 < gate_result.measured < -0.003
    assert gate_result.outcome is GateOutcome.INCONCLUSIVE


def test_the_sensitivity_gate_refuses_a_model_that_misses_more() -> None:
    one = original(1200, 600)
    logits = one.logits.copy()
    logits[np.flatnonzero(one.labels == 1)[:30]] = -0.01  # the order of films hardly changes, the calls do
    gate_result = verdict("sensitivity", one, change_logits(one, logits))
    assert gate_result.outcome is GateOutcome.REFUSED
    assert "won" in gate_result.said
    assert gate_result.measured == pytest.approx(-30 / 600, abs=0.01)


def test_the_sensitivity_gate_cannot_tell_on_its_border() -> None:
    one = original(1200, 600)
    called = np.flatnonzero((one.labels == 1) & (one.logits >= THRESHOLD))
    logits = one.logits.copy()
    logits[called[:5]] = -0.01
    gate_result = verdict("sensitivity", one, change_logits(one, logits))
    assert gate_result.measured == pytest.approx(-5 / 600)
    assert gate_result.outcome is GateOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("lost", "outcome"), [(0, GateOutcome.INCONCLUSIVE), (1, GateOutcome.INCONCLUSIVE), (2, GateOutcome.REFUSED)]
)
def test_of_few_positives_one_may_be_lost_whatever_is_won(lost: int, outcome: GateOutcome) -> None:
    one = original(400, 299)
    positive = np.flatnonzero(one.labels == 1)
    called, missed = positive[one.logits[positive] >= THRESHOLD], positive[one.logits[positive] < THRESHOLD]
    logits = one.logits.copy()
    logits[missed] = 3.0  # everything that can be won is won
    logits[called[:lost]] = -0.01
    gate_result = verdict("sensitivity", one, change_logits(one, logits))
    assert (gate_result.outcome, gate_result.measured) == (outcome, -lost)
    assert f"{lost} lost, {len(missed)} won" in gate_result.said


def test_float_files_are_held_to_pytorch_cell_by_cell_and_int8_is_not() -> None:
    kept = [
        gates.parity("fp32", 9e-5),
        gates.parity("fp32", 2e-4),
        gates.parity("fp16", 0.04),
        gates.parity("fp16", 0.06),
    ]
    outcomes = [made.outcome for made in kept if made is not None]
    assert outcomes == [GateOutcome.PASSED, GateOutcome.REFUSED, GateOutcome.PASSED, GateOutcome.REFUSED]
    assert gates.parity("int8", 12.0) is None


@pytest.mark.parametrize(("agreed", "passes"), [(0.95, True), (0.9, True), (0.89, False), (-1.0, False), (None, False)])
def test_a_map_that_shows_other_places_than_grad_cam_is_refused(agreed: float | None, passes: bool) -> None:
    gate_result = gates.explanation(agreed, Gate())
    assert (gate_result.gate, gate_result.outcome is GateOutcome.PASSED, gate_result.margin) == (
        "explanation",
        passes,
        0.9,
    )
    assert "at least 0.9 wanted" in gate_result.said
    assert gates.explanation(0.5, Gate(map_correlation=0.4)).outcome is GateOutcome.PASSED


def test_one_logit_that_is_no_number_is_never_taken_for_a_sure_answer() -> None:
    one = original(600, 300)
    logits = one.logits.copy()
    logits[np.flatnonzero(one.labels == 1)[0]] = np.nan
    assert verdict("auc", one, change_logits(one, logits)).outcome is GateOutcome.REFUSED
