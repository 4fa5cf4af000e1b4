"""The box uses the fastest runtime that is right on it, and one that is not is passed over with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event

import psutil
import pytest

from firmware_app.appliance.checks import runtimes
from firmware_app.core.records import ReadingStatus, Reason
from firmware_app.core.runtimes import RuntimeSettings
from firmware_app.core.settings import Config, ReaderSection
from firmware_app.packs import execution_variants
from firmware_app.packs.execution_variants import ExecutionVariant, TrialResult, TrialResults
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.reading import benchmark, variant_trial
from firmware_app.reading.reader import Reader
from tests import made_runtime, reading_rig

LIMIT_S = 3.0
ONE = RuntimeSettings(1)


@pytest.fixture(autouse=True)
def _runtimes_as_installed() -> Iterator[None]:
    yield
    registry.list_runtimes.cache_clear()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pack]:
    """A pack for runtimes that do what they are told, which are installed."""

    def install(**bodies: str) -> Pack:
        made_runtime.install(tmp_path / "site", monkeypatch, bodies)
        return Pack.load(made_runtime.pack(tmp_path / "packs", tuple(bodies)))

    return install


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        (made_runtime.CRASHES, "runtime.stopped", "exit 7"),
        (made_runtime.LIES, "runtime.wrong", "golden.png"),
        (made_runtime.HANGS, "runtime.hung", f"{LIMIT_S:.0f} seconds"),
    ],
)
def test_a_runtime_that_fails_its_trial_is_told_with_a_sentence(
    made: Callable[..., Pack], body: str, code: str, part: str
) -> None:
    before = set(psutil.Process().children())
    result = variant_trial.try_variant(made(made=body), ExecutionVariant("made", "fp32"), ONE, LIMIT_S)
    assert result.reason is not None
    assert (result.is_right, result.reason.code) == (False, code)
    assert part in result.reason.text("en")
    assert set(psutil.Process().children()) <= before


# --- the order ----------------------------------------------------------------------------------------------------


def make_result(runtime: str, precision: str, milliseconds: float | None) -> tuple[ExecutionVariant, TrialResult]:
    reason = None if milliseconds is not None else Reason("runtime.wrong", {})
    return ExecutionVariant(runtime, precision), TrialResult(runtime, precision, "1", milliseconds, 6, reason)


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        ({}, "openvino int8"),
        ({"precision": "fp32"}, "onnxruntime fp32"),
        ({"runtimes": ("onnxruntime",)}, "onnxruntime int8"),
        ({"runtimes": ("litert", "openvino")}, "openvino int8"),  # litert is wrong here
        ({"runtimes": ("onnxruntime", "openvino"), "precision": "fp32"}, "onnxruntime fp32"),
    ],
)
def test_the_fastest_right_way_is_used_as_far_as_the_configuration_lets_it(
    settings: dict[str, object], best: str
) -> None:
    results = dict(
        [
            make_result("onnxruntime", "int8", 5.0),
            make_result("onnxruntime", "fp32", 12.0),
            make_result("openvino", "int8", 3.0),
            make_result("openvino", "fp32", 14.0),
            make_result("litert", "int8", None),
        ]
    )
    config = ReaderSection.model_validate(settings)
    candidates = [way for way in results if way.runtime in (config.runtimes or (way.runtime,))]
    assert str(execution_variants.rank_variants(candidates, results, config)[0]) == best


# --- memory -------------------------------------------------------------------------------------------------------


def test_a_result_is_remembered_for_this_file_this_version_and_these_threads(
    made: Callable[..., Pack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, way = made(made=made_runtime.RIGHT), ExecutionVariant("made", "fp32")
    results = TrialResults(tmp_path / "trials.json")
    result = TrialResult("made", "fp32", "1.0", 4.2, 1, None)
    results.keep(pack, result, RuntimeSettings(2))
    assert TrialResults(tmp_path / "trials.json").read_results(pack, [way], RuntimeSettings(2)) == {way: result}
    assert results.read_results(pack, [way], ONE) == {}
    made_runtime.install(tmp_path / "site", monkeypatch, {"made": made_runtime.RIGHT}, version="1.1")
    assert results.read_results(pack, [way], RuntimeSettings(2)) == {}


# --- the reader ---------------------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """A configuration over the made pack, of a box that need not wait to be idle."""
    monkeypatch.setattr(benchmark, "IDLE_SECONDS", 0.0)

    def config(**reader: object) -> Config:
        return reading_rig.config(tmp_path, tmp_path / "packs", **{"precision": "any", **reader})

    return config


def read_one(rig: reading_rig.Rig, reader: Reader, number: int) -> str:
    film = rig.admit(reading_rig.tiny_film(number))
    reading_rig.read_all(reader)
    reading = rig.reading(film)
    assert reading.status is ReadingStatus.READ
    assert reading.pack is not None
    return reading.pack.runtime


def lacks(reader: Reader, pack: str, way: ExecutionVariant) -> bool:
    return way not in reader.inference.list_variants(pack)


def settle(reader: Reader, mark: Callable[[], bool]) -> None:
    reading_rig.wait_until(lambda: reader.advance_benchmark() or mark())


def test_the_first_film_is_read_at_once_and_later_ones_on_what_was_measured_to_be_fastest(
    made: Callable[..., Pack], box: Callable[..., Config]
) -> None:
    made(aslow=made_runtime.SLOW, bfast=made_runtime.RIGHT)
    with reading_rig.rig(box()) as rig, closing(Reader(rig.config, rig.state, rig.clinical, stop=Event())) as reader:
        assert read_one(rig, reader, 1) == "aslow"
        settle(reader, lambda: False)
        assert "bfast fp32" in str(reader.warm()["packs"])
        assert read_one(rig, reader, 2) == "bfast"
    assert len(json.loads(rig.state.trials.read_text())["results"]) == 2


@pytest.mark.parametrize("body", [made_runtime.LIES, made_runtime.CRASHES])
def test_a_wrong_or_crashing_runtime_is_passed_over_for_good_and_reading_goes_on(
    made: Callable[..., Pack], box: Callable[..., Config], caplog: pytest.LogCaptureFixture, body: str
) -> None:
    pack = made(abad=body, bgood=made_runtime.RIGHT)
    bad = ExecutionVariant("abad", "fp32")
    with reading_rig.rig(box()) as rig:
        for number in range(1, variant_trial.MOST_TRIES + 1):
            with closing(Reader(rig.config, rig.state, rig.clinical, stop=Event())) as reader:
                settle(reader, partial(lacks, reader, pack.name, bad))
                assert read_one(rig, reader, number) == "bgood"
        assert "It is not run in this way" in caplog.text
        with closing(Reader(rig.config, rig.state, rig.clinical, stop=Event())) as reader:
            assert bad not in reader.inference.list_variants(pack.name)  # remembered: before any film is read
        sentences = [check.reason.text("en") for check in runtimes.check_execution_variants(rig.config, rig.state)]
    assert any("abad" in sentence and "not run in this way" in sentence for sentence in sentences)
    results = TrialResults(rig.state.trials).read_results(pack, [bad], RuntimeSettings())
    assert not results[bad].is_right


def test_a_runtime_that_answers_wrongly_reads_not_even_the_first_film(
    made: Callable[..., Pack], box: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    made(abad=made_runtime.LIES, bgood=made_runtime.RIGHT)
    with reading_rig.rig(box()) as rig, closing(Reader(rig.config, rig.state, rig.clinical, stop=Event())) as reader:
        assert read_one(rig, reader, 1) == "bgood"
        reader.advance_benchmark()
        assert "It is not run in this way" in caplog.text


def test_a_film_that_comes_while_a_runtime_hangs_in_its_trial_does_not_wait_for_it(
    made: Callable[..., Pack], box: Callable[..., Config]
) -> None:
    made(agood=made_runtime.RIGHT, bhangs=made_runtime.HANGS)
    with reading_rig.rig(box()) as rig, closing(Reader(rig.config, rig.state, rig.clinical, stop=Event())) as reader:
        reader.warm()
        mine = set(psutil.Process().children())
        results = TrialResults(rig.state.trials)
        settle(reader, lambda: results.read_mtime_ns() != 0)  # the good one is through; the one that hangs is next
        settle(reader, lambda: bool(set(psutil.Process().children()) - mine))
        assert read_one(rig, reader, 1) == "agood"
        assert set(psutil.Process().children()) - mine == set()


# --- from one afternoon to the next -----------------------------------------------------------------------------------

# The children's pack in INT8 on LiteRT and on ONNX Runtime, ms: `lantern pack measure --again` on a machine that others
# used too (2026-11-22).  When it was quiet, both took 1.3 ms.
LITE, ONNX = (
    ExecutionVariant("litert", "fp32"),
    ExecutionVariant("onnxruntime", "fp32"),
)  # of the toy pack, which stands for it


# --- the command --------------------------------------------------------------------------------------------------
