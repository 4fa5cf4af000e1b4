"""The benches' paper: what a part found goes through JSON to the page and the plot without loss or flattery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import harness, page, receivers
from bench.outcome import Goal, Outcome, Row, Table

TABLE = Table(
    "C-STORE",
    "s",
    (
        Row("Lantern", (0.3, 0.32, 0.4), "lantern", "Lantern 1"),
        Row("a <peer> & more", (6.4,), "peer", "Peer 2"),
        Row("limit: copy", (0.001,), "limit"),
    ),
    {"images": 133},
)
FOUND = Outcome(
    "intake",
    "Intake",
    "What is measured.",
    "python -m bench.intake",
    {"cores": 2, "load_before": 0.1},
    quick=False,
    tables=(TABLE,),
    goals=(Goal("times as fast", 2.9, 3, "×", at_least=True), Goal("memory", 320, 320, "MB")),
    left_out=("Orthanc is not installed.",),
)


def write_page(tmp_path: Path, *outcomes: Outcome) -> str:
    for outcome in outcomes:
        (tmp_path / f"{outcome.part}.json").write_text(outcome.to_json(), "utf-8")
    page.write(tmp_path, tmp_path / "performance.md")
    return (tmp_path / "performance.md").read_text("utf-8")


def test_a_goal_that_was_missed_is_said_to_be_missed(tmp_path: Path) -> None:
    lines = write_page(tmp_path, FOUND).splitlines()
    assert "| Intake | times as fast | ≥ 3 × | 2.90 × | **not reached** |" in lines
    assert "| Intake | memory | ≤ 320 MB | 320 MB | reached |" in lines


def test_a_quick_run_never_passes_for_a_measurement(tmp_path: Path) -> None:
    assert "quick run" in write_page(tmp_path, replace(FOUND, quick=True))
    assert "quick run" not in write_page(tmp_path, FOUND)


def test_a_peer_that_is_not_installed_costs_its_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "_PATH", str(tmp_path))
    installed, absent = receivers.find_peers()
    assert installed == []
    assert absent == ["storescp is not installed (Debian: dcmtk).", "Orthanc is not installed (Debian: orthanc)."]
