"""The report is one page that needs nothing, in two languages, with the weak points and every refusal in it."""

import base64
import io
import re
import string
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.data.predictions import Predictions
from converters.report import catalogue
from converters.report import page as report
from converters.report.step_results import Accounts
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.tasks.classify import Calibration, FindingSpec

pytestmark = pytest.mark.usefixtures("few_resamples")

VOID = {"meta", "input", "br"}


def made_up(count: int = 400, seed: int = 0, worse: float = 0.0) -> Predictions:
    """Films of a good model; ``worse`` blurs its logits, and films from the ``side`` hospital are harder."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.35).astype(np.int64)
    side = rng.random(count) < 0.3
    logits = rng.standard_normal(count) + np.where(labels == 1, 1.9, -1.9) * np.where(side, 0.6, 1.2)
    logits += worse * np.random.default_rng(seed + 1).standard_normal(count)
    names = tuple(f"film{index}" for index in range(count))
    traits = tuple({"site": "side" if one else "main"} for one in side)
    return Predictions(names, labels, tuple(f"p{index // 2}" for index in range(count)), logits, traits)


def verdict(gate: str, outcome: str, measured: float, margin: float, said: str) -> dict[str, Any]:
    return {"gate": gate, "outcome": outcome, "measured": measured, "margin": margin, "said": said}


GRIDS = (("gradcam", 0.0), ("map", 0.0), ("occlusion", 0.1), ("lime", -0.1))


def drawn_film() -> dict[str, Any]:
    """A bright disc on grey, with four maps of it."""
    y, x = np.mgrid[0:56, 0:56]
    picture = io.BytesIO()
    Image.fromarray(np.where((y - 20) ** 2 + (x - 36) ** 2 < 90, 230, 90).astype(np.uint8)).save(picture, "PNG")
    row, column = np.mgrid[0:14, 0:14]
    near = 3.0 * np.exp(-((row - 5) ** 2 + (column - 9) ** 2) / 6.0) - 0.2
    grids = {name: (near + shift).tolist() for name, shift in GRIDS}
    return {"film": base64.b64encode(picture.getvalue()).decode(), **grids}


ACCOUNTS: dict[str, dict[str, Any]] = {
    "train": {
        f"fold{index}": {"auc": 0.95 + 0.01 * index, "parameters": 3_400_000, "multiplications": 385_000_000}
        for index in range(3)
    },
    "prune": {
        "whole": {
            "auc": 0.96,
            "parameters": 410_000,
            "multiplications": 61_000_000,
            "kept": 0.4,
            "layers": [
                {"name": f"blocks.{index}.project", "before": 16 * (index + 1), "after": 8 * (index + 1)}
                for index in range(9)
            ],
        }
    },
    "quantize": {
        "openvino": {
            "chosen": {"method": "mixed"},
            "tried": [
                {"method": "minmax", "moved": 0.21, "refused": "logits move by <0.210> of their spread"},
                {"method": "mixed", "layers": [34, 35], "moved": 0.06, "times_as_fast": 2.13, "refused": ""},
            ],
        },
        "tensorrt": {"chosen": None, "tried": [{"method": "minmax", "moved": 0.4, "refused": "it has no kernel"}]},
        "litert": {"chosen": None, "tried": [{"method": "minmax", "moved": 0.4, "refused": "it is wrong"}]},
    },
    "gates": {
        "artefacts": [
            {
                "runtime": "openvino",
                "precision": "int8",
                "outcome": "inconclusive",
                "gates": [verdict("auc", "inconclusive", -0.001, -0.005, "AUC changes by -0.0010")],
            },
            {
                "runtime": "litert",
                "precision": "int8",
                "outcome": "refused",
                "gates": [
                    verdict(
                        "auc", "refused", -0.031, -0.005, "AUC changes by -0.0310 (-0.05 to -0.01), allowed -0.005"
                    ),
                    verdict("sensitivity", "refused", -7.0, -1.0, "7 lost, 0 won, allowed 1 lost of so few"),
                ],
            },
            {
                "runtime": "onnxruntime",
                "precision": "fp16",
                "outcome": "refused",
                "why": "the <file> is cut off",
                "gates": [verdict("parity", "refused", 0.3, 0.05, "largest difference from PyTorch 0.3, allowed 0.05")],
            },
        ]
    },
    "calibrate": {
        "reference": {
            "script": "<own>:score",
            "outcome": "inconclusive",
            "n": 400,
            "auc_home": 0.861,
            "auc_box": 0.8588,
            "change": -0.0022,
            "change_ci": [-0.0101, 0.0047],
            "allowed": 0.005,
        }
    },
    "speed": {
        "machine": "two cores & AVX-512",
        "rows": [
            {
                "runtime": "onnxruntime",
                "precision": "fp32",
                "milliseconds": 7.4,
                "low": 7,
                "high": 8,
                "bytes": 3_100_000,
            },
            {
                "runtime": "openvino",
                "precision": "int8",
                "milliseconds": 1.3,
                "low": 1.2,
                "high": 1.6,
                "bytes": 840_000,
            },
            {"runtime": "litert", "precision": "int8", "milliseconds": 2.1, "low": 2.0, "high": 2.4, "bytes": 900_000},
        ],
    },
    "maps": {
        "artefacts": [
            {
                "runtime": "openvino",
                "precision": "int8",
                "every_cell": {"n": 50, "flat": 0, "mean": 0.987, "median": 0.991, "low": 0.951, "least": 0.913},
                "evidence": {"n": 31, "flat": 19, "mean": 0.956, "median": 0.96, "low": 0.88, "least": 0.7},
            },
            {
                "runtime": "litert",
                "precision": "int8",
                "every_cell": {"n": 0, "flat": 50, "mean": None, "median": None, "low": None, "least": None},
                "evidence": {"n": 0, "flat": 50, "mean": None, "median": None, "low": None, "least": None},
            },
        ],
        "covered": {
            "runtime": "openvino",
            "precision": "int8",
            "occlusion": {"median": 0.81, "low": 0.4, "high": 0.95, "films": 8},
        },
        "pointing": {"hits": 61, "n": 80, "share": 0.7625, "share_ci": [0.658, 0.842], "chance": 0.094},
        "examples": [drawn_film()],
    },
}

PREDICTIONS = {
    ("onnxruntime", "fp32"): made_up(),
    ("openvino", "int8"): made_up(worse=0.15),
    ("litert", "int8"): made_up(worse=2.0),
}
SUBJECT = report.Subject(
    pack="toy-disc",
    version="0.1.0",
    title=LocalisedText(en="Bright <discs>", zh="亮盘"),
    split="val",
    finding=FindingSpec(
        code="disc",
        label=LocalisedText(en="Disc", zh="盘"),
        channel=0,
        bias=0.0,
        threshold=0.2,
        threshold_rule="least cost",
        calibration=Calibration(kind="platt", slope=1.4, intercept=-0.3),
        priority="soon",
    ),
    weak_points=(LocalisedText(en="Only one hospital was seen.", zh="仅见过一家医院。"),),
    main=("openvino", "int8"),
    original=("onnxruntime", "fp32"),
)


class Page(HTMLParser):
    """Checks that every element is closed, and collects what a reader of one language sees."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: list[str] = []
        self.seen: dict[str, list[str]] = {"en": [], "zh": []}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
            self.classes.append(dict(attrs).get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.classes.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        for language, other in (("en", "zh"), ("zh", "en")):
            if other not in self.classes:
                self.seen[language].append(data)


@pytest.fixture(scope="module")
def html(few_resamples: None) -> str:
    return report.render(SUBJECT, PREDICTIONS, Accounts.from_dict(ACCOUNTS), "2026-11-21")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    parsed = Page()
    parsed.feed(html)
    assert parsed.open == []
    return parsed


def test_no_word_lacks_a_language_and_both_fill_in_the_same_values() -> None:
    for key, texts in catalogue.CATALOGUE.items():
        english, chinese = texts
        assert english.strip(), key
        assert chinese.strip(), key
        names = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in texts]
        assert names[0] == names[1], key
        if english != chinese:
            assert re.search(r"[\u4e00-\u9fff]", chinese), key
            assert not re.search(r"[\u4e00-\u9fff]", english), key


def test_the_page_needs_nothing_beside_itself(html: str) -> None:
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b", html)
    assert not re.search(r"(src|href)=(?!\"(data:|#))|url\((?!#)|@import|https?://", html)


def test_weak_points_come_first_then_the_refusals(page: Page) -> None:
    seen = "".join(page.seen["en"])
    order = (
        "Weak points",
        "Only one hospital was seen.",
        "Weakest group: site side",
        "What was refused",
        "Each file in its runtime",
        "ROC curve",
    )
    places = [seen.index(word) for word in order]
    assert places == sorted(places)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_refusal_is_there_with_why(page: Page, language: str) -> None:
    seen = "".join(page.seen[language])
    for artefact in ACCOUNTS["gates"]["artefacts"]:
        if artefact["outcome"] == "refused":
            assert f"{artefact['runtime']} {artefact['precision']}" in seen
            for gate in artefact["gates"]:
                assert gate["said"] in seen
    assert "the <file> is cut off" in seen
    refusals = seen[: seen.index("onnxruntime fp16") + 400]
    assert "tensorrt int8" in refusals
    assert "minmax: it has no kernel" in refusals
    assert "logits move by <0.210> of their spread" in seen
    assert ("No INT8 file of litert was good enough." if language == "en" else "litert 没有合格的 INT8 文件。") in seen
    assert ("7 positive films are lost, allowed 1" if language == "en" else "丢失 7 张阳性影像") in seen


def test_every_figure_is_drawn_and_no_number_is_missing(html: str) -> None:
    drawn = re.findall(r'<svg [^>]*aria-label="([^"]*)"', html)
    wanted = (
        "trade",
        "roc",
        "reliability",
        "decision",
        "pruning",
        "coverage",
        "film",
        "gradcam",
        "map",
        "occlusion",
        "lime",
    )
    assert [unescape(one) for one in drawn] == [" · ".join(catalogue.pair(key)) for key in wanted]
    assert not re.search(r"\bnan\b|\binf\b|None", html)
    assert "two cores &amp; AVX-512" in html
    assert "&amp;amp;" not in html


def test_without_accounts_there_is_still_a_report_and_a_class_without_films_breaks_nothing() -> None:
    one = made_up(40)
    only = Predictions(one.names, np.zeros(40, np.int64), one.patients, one.logits, one.traits)
    html = report.render(SUBJECT, {SUBJECT.main: only}, Accounts(), "2026-11-21")
    Page().feed(html)
    assert "Nothing was refused." in html
    assert not re.search(r"\bnan\b|\binf\b|None", html)
