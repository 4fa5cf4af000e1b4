"""Whole fits judged on places that they never saw: the rates are at home's threshold, and what was learnt from is not
judged."""

from pathlib import Path

import numpy as np
import pytest

from bench import lungs
from bench.left_out import FITS, HOME, NEW_DELHI, NIH, SETS, Bench, gain, line, row
from converters.data.datasets import Film, FilmSet
from tests.converters.conftest import draw

LABELS, SCORES = [1, 1, 1, 1, 0, 0, 0, 0, 0], [3.0, 2.0, 1.0, -1.0, 4.0, 1.5, 1.0, 0.5, -2.0]
"""Of four positives three lie at or above 1, of five negatives two below it; two films are of one patient."""


def away(labels: list[int]) -> FilmSet:
    films = tuple(Film(str(n), Path(str(n)), label, str(max(n, 1))) for n, label in enumerate(labels))
    return FilmSet("away", "x", films)


def labelled(folder: Path, images: str, table: str, words: dict[str, str], row: str, seed: int) -> None:
    """Films with and without a disc, in the form of ``labels.csv``; ``row``: what stands behind file and class."""
    (folder / images).mkdir(parents=True)
    rows: list[str] = []
    for path in sorted(draw(folder.parent / f"drawn{seed}", 10, seed).rglob("*.png")):
        path.rename(folder / images / path.name)
        rows.append(row.format(file=path.name, said=words[path.parent.name], patient=len(rows)))
    (folder / "labels.csv").write_text("\n".join([table, *rows]) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """SIIM, New Delhi, NIH and Hannover in their own forms; no children."""
    data = tmp_path / "data"
    for name, words, seed in (
        (HOME, {"disc": "opacity", "clear": "negative"}, 0),
        (NEW_DELHI, {"disc": "tuberculosis", "clear": "normal"}, 1),
    ):
        labelled(data / name, "images", "file,class", words, "{file},{said}", seed)
    heading = "file,Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"
    words = {"disc": "Edema|Pneumonia|Consolidation|Infiltration|Effusion", "clear": "No Finding"}
    labelled(data / NIH, "images512", heading, words, "{file},{file},{said},{patient},40,F,PA", 2)
    positive = data / SETS["hannover"].path / "images"
    positive.mkdir(parents=True)
    for number, path in enumerate(sorted(draw(tmp_path / "hannover", 3, 3).joinpath("disc").iterdir())):
        path.rename(positive / f"h{number}.jpg")
    rows = "".join(f"p{number},h{number},m,ap\n" for number in range(3))
    (positive.parent / "labels.csv").write_text("patient_id,image_id,sex,projection\n" + rows)
    return data


def test_a_tiny_fit_is_judged_at_homes_threshold_on_what_it_has_not_seen(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    bench = Bench(data, tmp_path / "work", epochs=1, size=64)
    plain = list(bench.judged("siim"))
    assert [one["set"] for one in plain] == [SETS[name].title for name in (HOME, NEW_DELHI, NIH, "hannover")]
    assert [(one["n"], one["positives"]) for one in plain[1:]] == [(20, 10), (20, 10), (3, 3)]
    assert plain[0]["sensitivity"] >= 0.9
    assert not any("gain" in one for one in plain)
    assert (plain[3]["auc"], plain[3]["specificity"]) == (None, None)
    assert plain[3]["sensitivity_ci"][0] <= plain[3]["sensitivity"] <= plain[3]["sensitivity_ci"][1]
    assert "children, who are too young for it is left out" in capsys.readouterr().err
    beside = list(bench.judged("nih-own-head"))
    assert [one["set"] for one in beside] == [SETS[name].title for name in (HOME, NEW_DELHI, "hannover")]
    assert set(plain[1]["unlabelled"]) == {"0.1", "0.2", "0.3", "0.5"}
    assert not plain[0]["unlabelled"]
    assert not plain[3]["unlabelled"]
    assert beside[1]["gain"] == pytest.approx(beside[1]["auc"] - plain[1]["auc"])
    assert line(beside[2]).startswith(f"| {FITS['nih-own-head'].text} | Hannover, all positive | 3 (3) | – | – | ")
    capsys.readouterr()
    assert list(bench.judged("siim")) == plain
    assert "epoch" not in capsys.readouterr().err


def test_the_rates_of_a_set_are_at_the_threshold_that_was_chosen_at_home() -> None:
    told = row("away", away(LABELS), np.array(SCORES), 1.0)
    assert (told["n"], told["positives"]) == (9, 4)
    assert (told["sensitivity"], told["specificity"]) == (0.75, 0.4)
    assert told["auc"] == pytest.approx((4 + 4 + 2.5 + 1) / 20)


def test_a_change_that_changes_nothing_gains_nothing() -> None:
    films, scores = away(LABELS), np.array(SCORES)
    same, better = (gain(films, scores + more, scores) for more in (0.0, 10.0 * np.array(LABELS)))
    assert (same["gain"], same["gain_ci"]) == (0.0, (0.0, 0.0))
    assert better["gain"] == pytest.approx(1.0 - (4 + 4 + 2.5 + 1) / 20)
    assert gain(away([1] * 9), scores, scores) == {}


def test_every_fit_leaves_a_place_to_judge_it() -> None:
    for fit in FITS.values():
        assert HOME not in fit.weights
        assert {NEW_DELHI, NIH} - set(fit.weights)


def test_a_film_that_was_moved_is_cut_to_the_same_lungs() -> None:
    """Two bright fields beside each other are the atlas; the film lies a sixteenth of its side lower."""
    atlas = np.zeros((160, 160), dtype=np.float32)
    atlas[40:120, 20:70] = atlas[40:120, 90:140] = 0.8
    film = np.rint(255.0 * atlas).astype(np.uint8)
    whole, lower = lungs.cut(np.stack([film, np.roll(film, 10, axis=0)]), atlas, 96).astype(np.int64)
    assert whole.shape == (96, 96)
    assert np.abs(whole - lower).mean() < 0.3 * np.abs(whole - np.roll(whole, 7, axis=0)).mean()
