"""The benches' paper: what a part found goes through JSON to the page and the plot without loss or flattery."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from bench import harness, page, plot, receivers
from bench.outcome import Goal, Outcome, Row, Table, figure

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


def written(tmp_path: Path, *outcomes: Outcome) -> str:
    for outcome in outcomes:
        (tmp_path / f"{outcome.part}.json").write_text(outcome.to_json(), "utf-8")
    page.write(tmp_path, tmp_path / "performance.md")
    return (tmp_path / "performance.md").read_text("utf-8")


def test_what_a_part_found_survives_its_json() -> None:
    assert Outcome.of_json(FOUND.to_json()) == FOUND


def test_another_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lantern\.bench/1"):
        Outcome.of_json(json.dumps({"schema": "lantern.case/1"}))


def test_a_goal_that_was_missed_is_said_to_be_missed(tmp_path: Path) -> None:
    lines = written(tmp_path, FOUND).splitlines()
    assert "| Intake | times as fast | ≥ 3 × | 2.90 × | **not reached** |" in lines
    assert "| Intake | memory | ≤ 320 MB | 320 MB | reached |" in lines


def test_one_part_alone_is_a_page_without_the_others(tmp_path: Path) -> None:
    written = page.alone(FOUND)
    assert written.startswith("# Intake\n")
    assert "| Intake | times as fast | ≥ 3 × | 2.90 × | **not reached** |" in written
    assert "Left out: Orthanc is not installed." in written
    assert "svg" not in written
    assert "quick run" not in written
    assert "quick run" in page.alone(replace(FOUND, quick=True))


def test_a_peer_that_was_left_out_is_named(tmp_path: Path) -> None:
    assert "Left out: Orthanc is not installed." in written(tmp_path, FOUND)


def test_a_row_shows_median_spread_number_ratio_and_version(tmp_path: Path) -> None:
    assert "| **Lantern** | 0.320 | 0.300 – 0.400 | 3 | 1.00 | Lantern 1 |" in written(tmp_path, FOUND)


def test_a_quick_run_never_passes_for_a_measurement(tmp_path: Path) -> None:
    assert "quick run" in written(tmp_path, replace(FOUND, quick=True))
    assert "quick run" not in written(tmp_path, FOUND)


def test_what_differs_between_parts_stands_with_its_part(tmp_path: Path) -> None:
    other = replace(FOUND, part="memory", title="Memory", machine={"cores": 4, "load_before": 0.2})
    text = written(tmp_path, FOUND, other)
    assert "`python -m bench.intake` · cores: 2 · load before: 0.1" in text
    assert "`python -m bench.intake` · cores: 4 · load before: 0.2" in text


def test_the_plot_is_well_formed_and_draws_a_bar_for_every_row(tmp_path: Path) -> None:
    written(tmp_path, FOUND)
    svg = ElementTree.fromstring((tmp_path / "performance.svg").read_text("utf-8"))
    space = {"svg": "http://www.w3.org/2000/svg"}
    text = [element.text for element in svg.findall("svg:text", space)]
    assert [row.name in text for row in TABLE.rows] == [True, True, True]
    fills = [element.get("fill") for element in svg.findall("svg:rect", space)]
    assert [fills.count(colour) for colour in plot.COLOURS.values()] == [2, 2, 2]  # one of each is the legend's


@pytest.mark.parametrize("most", [0.0063, 0.5, 1, 7.1, 107, 16_600])
def test_ticks_reach_the_longest_bar_in_a_few_even_steps(most: float) -> None:
    marks = plot.ticks(most)
    assert marks[0] == 0
    assert most <= marks[-1] < most * 1.5
    assert 3 <= len(marks) <= 8


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (0.00213, "0.0021"),
        (0.322, "0.322"),
        (6.412, "6.41"),
        (64.12, "64.1"),
        (107.4, "107"),
        (32_768, "32,800"),
    ],
)
def test_a_figure_has_no_more_digits_than_were_measured(value: float, told: str) -> None:
    assert figure(value) == told


def test_a_peer_that_is_not_installed_costs_its_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "_PATH", str(tmp_path))
    found, absent = receivers.peers()
    assert found == []
    assert absent == [
        "storescp is not installed (Debian: dcmtk).",
        "Orthanc is not installed (Debian: orthanc).",
    ]
