"""The packs we ship say the same of the same image in every runtime and precision."""

from __future__ import annotations

import pytest

from converters.golden_cases import cases
from converters.golden_cases.all_runtimes import AllRuntimes
from firmware_app.packs.evidence import GoldenCase
from firmware_app.packs.pack_folder import Pack, list_packs, shipped_packs_dir
from firmware_app.packs.runtimes import registry

PACKS = list_packs(shipped_packs_dir())
CASES = [
    pytest.param(pack, case, id=f"{pack.name}-{index}")
    for pack in PACKS
    for index, case in enumerate(pack.manifest.golden)
]


@pytest.fixture(params=PACKS, ids=[pack.name for pack in PACKS])
def pack(request: pytest.FixtureRequest) -> Pack:
    chosen = request.param
    assert isinstance(chosen, Pack)
    return chosen


@pytest.fixture(scope="module")
def judges() -> dict[str, AllRuntimes]:
    return {pack.name: AllRuntimes(pack) for pack in PACKS}


@pytest.mark.parametrize(("pack", "case"), CASES)
def test_a_golden_image_gets_the_expected_probability_everywhere(
    pack: Pack, case: GoldenCase, judges: dict[str, AllRuntimes]
) -> None:
    if case.reference is not None and cases.locate(case.reference) is None:
        pytest.skip(f"the package {case.reference.package} (extra demo) is not installed")
    judge = judges[pack.name]
    assert registry.DEFAULT in judge.runtimes
    frame = cases.frame_of(pack, case)
    assert "fp32" in case.expected, "fill it: lantern-convert golden PACK --update-references"
    for runtime, precision in judge.sessions:
        promise = pack.manifest.find_expectation(case, pack.find_artefact(runtime, precision))
        assert promise is not None
        expected, tolerance = promise
        away = judge.box.difference(expected, judge.ask(frame, runtime, precision))
        assert away.apart <= tolerance + 1e-6, (runtime, precision, away)


def test_golden_films_get_the_answer_that_they_were_drawn_for(pack: Pack, judges: dict[str, AllRuntimes]) -> None:
    finding, judge = pack.manifest.findings[0], judges[pack.name]
    drawn = {case.path: "positive" in (case.path or "") for case in pack.manifest.golden if case.kind == "sample"}
    assert True in drawn.values()  # a pack goes without a negative one that could not be drawn far from training
    for way in judge.sessions:
        answers = {
            case.path: judge.probability(cases.frame_of(pack, case), *way) >= finding.threshold
            for case in pack.manifest.golden
            if case.kind == "sample"
        }
        assert answers == drawn, way
