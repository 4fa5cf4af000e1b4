"""What fuzzing found and learnt stays harmless: every input of the corpora is taken or refused with a code."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable

import pytest

from tests.fuzz import corpus, mutator, targets
from tests.fuzz.regressions import REGRESSIONS, REGRESSIONS_AT_THE_DOOR


@pytest.mark.parametrize("target", targets.TARGETS)
def test_every_input_of_the_corpus_is_taken_or_refused_with_a_code(target: str) -> None:
    inputs = corpus.inputs(target)
    assert len(inputs) > 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the decode child has it
        for name, data in inputs.items():
            try:
                targets.TARGETS[target](data)
            except Exception as error:
                error.add_note(f"input {name} of {corpus.path(target).name}")
                raise


@pytest.mark.parametrize("made", REGRESSIONS, ids=lambda made: made.__name__)
def test_what_fuzzing_once_broke_is_refused_now(made: Callable[[], bytes]) -> None:
    assert targets.child(made()) == REGRESSIONS[made]


@pytest.mark.parametrize("made", REGRESSIONS_AT_THE_DOOR, ids=lambda made: made.__name__)
def test_what_the_door_once_took_wrongly_is_refused_now(made: Callable[[], bytes]) -> None:
    assert targets.door(made()) is None


def test_the_corpora_are_small_enough_to_travel_with_the_source() -> None:
    assert sum(corpus.path(target).stat().st_size for target in targets.TARGETS) < 1_000_000


def test_a_mutation_keeps_to_its_size_and_comes_again_with_its_seed() -> None:
    def bend(data: bytes, most: int) -> bytes:
        return (data + b"\x01\x02\x03")[:most]

    inputs = list(corpus.inputs("door").values())
    changed = 0
    for seed in range(400):
        data = random.Random(seed).choice(inputs)
        made = mutator.mutate(data, 4096, seed, bend)
        assert len(made) <= 4096
        assert made == mutator.mutate(data, 4096, seed, bend)
        changed += made != data
    assert changed > 300
