"""A step of the converters is done again when, and only when, something it is made of has changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from converters.workflow import ledger
from converters.workflow.ledger import Ledger, MadeOf

TABLES = {"train": {"epochs": 3}}


@pytest.fixture
def kept(tmp_path: Path) -> Ledger:
    """A ledger in which a training has made weights, and an export has made a file of them."""
    kept = Ledger(tmp_path)
    record_training(kept, b"weights")
    (tmp_path / "model.onnx").write_bytes(b"model")
    kept.record_step("export", export(kept), {"megabytes": 1}, [tmp_path / "model.onnx"])
    return kept


def record_training(kept: Ledger, weights: bytes) -> None:
    (kept.work / "weights").write_bytes(weights)
    kept.record_step("train", kept.fingerprint(TABLES, (), "films"), {"auc": 0.9}, [kept.work / "weights"])


def export(kept: Ledger) -> MadeOf:
    return kept.fingerprint({"export": {}}, ("train",), "films")


def test_a_step_of_which_nothing_changed_is_not_done_again(kept: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    assert kept.results("train", kept.fingerprint(TABLES, (), "films")) == {"auc": 0.9}
    assert kept.results("export", export(kept)) == {"megabytes": 1}
    assert capfd.readouterr().err.splitlines() == [
        "train: done before, nothing it is made of has changed",
        "export: done before, nothing it is made of has changed",
    ]


def test_what_follows_a_step_with_another_outcome_is_done_again(
    kept: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    record_training(kept, b"other weights")
    assert kept.results("export", export(kept)) is None
    assert "export: done again: train was done again" in capfd.readouterr().err


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"another")], ids=["gone", "changed"])
def test_a_step_whose_file_is_gone_or_changed_is_done_again(
    kept: Ledger, damage: Callable[[Path], object], capfd: pytest.CaptureFixture[str]
) -> None:
    damage(kept.work / "model.onnx")
    assert kept.results("export", export(kept)) is None
    assert "model.onnx is not as it was" in capfd.readouterr().err


@pytest.mark.parametrize("place", ["nets", "nets/net.py"], ids=["folder", "file"])
def test_other_code_repeats_a_step_and_another_comment_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    package = tmp_path / "converters"
    (package / "workflow").mkdir(parents=True)
    (package / "nets").mkdir()
    monkeypatch.setattr(ledger, "__file__", str(package / "workflow" / "ledger.py"))

    def digest(text: str) -> str:
        (package / "nets" / "net.py").write_text(text)
        ledger._digest_code.cache_clear()
        return ledger._digest_code((place,))

    plain = digest("def width():\n    return 3\n")
    assert digest('def width():\n    """Channels."""\n    return 3  # as in the paper\n') == plain
    assert digest("def width():\n    return 4\n") != plain
    ledger._digest_code.cache_clear()
