"""No patient and no picture stands on both sides of a split, and the test part never moves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.data import duplicates, splits
from converters.data.datasets import patient_of
from converters.data.splits import Division
from converters.failures import ClassEmpty, SplitLeaks


def many(count: int = 400) -> tuple[dict[str, int], dict[str, str]]:
    rng = np.random.default_rng(0)
    labels = {f"film{index:03}": int(rng.random() < 0.3) for index in range(count)}
    return labels, {name: f"patient{int(rng.integers(0, count // 3))}" for name in labels}


def divide_films(
    labels: dict[str, int], group_of: dict[str, str], folds: int = 1, frozen: tuple[str, ...] = ()
) -> Division:
    return splits.divide(labels, group_of, folds, 0.15, 0.25, 7, frozen)


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_with_folds_each_film_outside_the_test_is_held_back_once(folds: int) -> None:
    labels, group_of = many()
    parts = divide_films(labels, group_of, folds)
    held = [name for fold in parts.folds for name in fold.held]
    assert sorted(held) == sorted(set(labels) - set(parts.test))
    assert parts.shipped.name == splits.WHOLE
    assert parts.shipped.train == tuple(sorted(held))
    sizes = [len(fold.held) for fold in parts.folds]
    shares = [sum(labels[name] for name in fold.held) / len(fold.held) for fold in parts.folds]
    assert max(sizes) - min(sizes) <= 0.1 * len(held)
    assert max(shares) - min(shares) < 0.1
    for fold in parts.folds:
        assert {group_of[name] for name in fold.train}.isdisjoint({group_of[name] for name in fold.held})


@pytest.mark.parametrize("folds", [1, 3])
def test_the_same_seed_divides_the_same_way_whatever_the_order_of_the_films(folds: int) -> None:
    labels, group_of = many()
    backwards = dict(reversed(labels.items()))
    assert divide_films(labels, group_of, folds) == divide_films(backwards, group_of, folds)


def test_a_frozen_test_part_stays_as_it_was_when_new_films_come() -> None:
    labels, group_of = many()
    frozen = divide_films(labels, group_of).test
    more = {**labels, "film900": 1, "film901": 0}
    groups = {**group_of, "film900": "new1", "film901": "new2"}
    parts = divide_films(more, groups, 3, frozen)
    assert parts.test == frozen
    assert {"film900", "film901"} <= set(parts.part("train"))


def test_a_new_film_of_a_test_patient_is_an_error_that_names_the_films() -> None:
    labels, group_of = many()
    frozen = divide_films(labels, group_of).test
    leak = {**group_of, "film900": group_of[frozen[0]]}
    with pytest.raises(SplitLeaks, match="film900") as refused:
        divide_films({**labels, "film900": 1}, leak, 3, frozen)
    assert any(leak[one] == leak[other] for one, other in refused.value.pairs)


def test_a_leak_between_any_two_parts_is_found() -> None:
    group_of = {"a": "p", "b": "q", "c": "p"}
    for names in ((("a",), ("c",), ("b",)), (("a",), ("b",), ("c",)), (("b",), ("a",), ("c",))):
        with pytest.raises(SplitLeaks, match="a and c"):
            splits.refuse_leaks(dict(zip(("train", "held", "test"), names, strict=True)), group_of)
    splits.refuse_leaks({"train": ("a", "c"), "held": ("b",), "test": ()}, group_of)


def test_a_part_without_one_of_the_classes_is_an_error_that_says_which() -> None:
    labels, group_of = many()
    with pytest.raises(ClassEmpty, match="positive"):
        divide_films(dict.fromkeys(labels, 0), group_of, 3)
    with pytest.raises(ClassEmpty, match="negative"):
        divide_films(dict.fromkeys(labels, 1), group_of)
    lonely = {name: int(index < 2) for index, name in enumerate(labels)}
    with pytest.raises(ClassEmpty, match="fold"):
        divide_films(lonely, {name: name for name in labels}, 5)


def test_leaving_a_source_out_judges_on_films_of_a_source_never_seen() -> None:
    labels, group_of = many(90)
    source_of = {name: "one" if int(group_of[name][7:]) % 2 else "two" for name in labels}
    folds = splits.by_source(labels, group_of, source_of)
    assert [fold.name for fold in folds] == ["without-one", "without-two"]
    for fold in folds:
        assert sorted(fold.train + fold.held) == sorted(labels)
        assert {source_of[name] for name in fold.train}.isdisjoint({source_of[name] for name in fold.held})


def test_the_committed_test_lists_name_each_film_once() -> None:
    lists = sorted(splits.LISTS.glob("*.test.txt"))
    assert len(lists) >= 3
    for path in lists:
        names = splits.names_in(path)
        assert len(names) == len(set(names)) > 100, path.name


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1000_virus_1681.jpeg", "person1000"),
        ("person1000_bacteria_2931.jpeg", "person1000"),
        ("IM-0429-0001-0002.jpeg", "IM-0429"),
        ("IM-0429-0001.jpeg", "IM-0429"),
        ("NORMAL2-IM-0429-0001.jpeg", "NORMAL2-IM-0429"),
        ("anything.png", "anything"),
    ],
)
def test_films_of_one_child_are_known_by_their_names(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def pictures(count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(4)
    coarse = rng.random((count, 8, 8)).astype(np.float32)
    return np.kron(coarse, np.ones((8, 8), np.float32))


def test_a_copy_with_another_exposure_and_some_noise_is_found() -> None:
    films = pictures(40)
    noise = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
    copy = films[7] * np.float32(0.6) + np.float32(0.2) + np.float32(0.01) * noise
    assert duplicates.duplicate_pairs(np.concatenate([films, copy[np.newaxis]])) == [(7, 40)]
