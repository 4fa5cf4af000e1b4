"""The report tells what a network is worth where it never saw the source, and which files came of fine-tuning."""

from dataclasses import replace

import pytest

from converters.report import page as report
from converters.report.step_results import Accounts
from converters.statistics.selective import Curve
from tests.unit.converters.test_report import PREDICTIONS, SUBJECT, Page

pytestmark = pytest.mark.usefixtures("few_resamples")

ACCOUNTS = Accounts.from_dict(
    {
        "leave_out": {
            "trait": "view",
            "sources": [
                {"value": "AP", "n": 120, "positives": 40, "learnt_from": 300, "auc": 0.71, "auc_ci": [0.62, 0.8]},
                {"value": "PA", "n": 300, "positives": 0, "learnt_from": 120, "auc": None, "auc_ci": None},
            ],
        },
        "quantize": {
            "openvino": {
                "chosen": {"method": "minmax"},
                "sensitivity": {},
                "tried": [
                    {"method": "percentile", "moved": 0.3, "refused": "logits move"},
                    {"method": "minmax", "moved": 0.1, "refused": "", "qat": True},
                ],
            }
        },
    }
)


@pytest.mark.parametrize(
    ("language", "heading", "weak", "tuned"),
    [
        (
            "en",
            "Sources that were never seen",
            "Where it never saw the source (view AP, 120 films), its AUC is 0.710",
            "after QAT",
        ),
        ("zh", "从未见过的来源", "对从未见过的来源（view AP，120 张），AUC 为 0.710", "QAT 后"),
    ],
)
def test_unseen_sources_and_fine_tuned_files_are_told_in_both_languages(
    language: str, heading: str, weak: str, tuned: str
) -> None:
    page = Page()
    page.feed(report.rendered(SUBJECT, PREDICTIONS, ACCOUNTS, "2026-11-21"))
    seen = "".join(page.seen[language])
    assert seen.index(weak) < seen.index(heading)
    assert f"view = PA{'as in the pack' if language == 'en' else '与包内相同'}300 (0)" in seen
    assert f"minmax · {tuned}" in seen
    assert f"percentile · {tuned}" not in seen


@pytest.mark.parametrize(
    ("language", "row", "weak", "note"),
    [
        ("en", "view = APteacher120 (40)", "the teacher's AUC is 0.710", "would do there was not measured"),
        ("zh", "view = AP教师网络120 (40)", "教师网络的 AUC 为 0.710", "小网络在此情形下的表现未经测量"),
    ],
)
def test_where_the_network_that_ships_was_taught_it_is_the_teacher_that_is_told_of(
    language: str, row: str, weak: str, note: str
) -> None:
    page = Page()
    page.feed(report.rendered(replace(SUBJECT, taught=True), PREDICTIONS, ACCOUNTS, "2026-11-21"))
    seen = "".join(page.seen[language])
    assert seen.index(weak) < seen.index(note) < seen.index(row)


def test_without_sources_left_out_the_page_says_nothing_of_them() -> None:
    html = report.rendered(SUBJECT, PREDICTIONS, Accounts(), "2026-11-21")
    assert "never saw" not in html


def test_coverage_against_risk_is_told_at_home_and_on_every_source_that_was_left_out() -> None:
    point = {"given": 0.5, "n": 60, "wrong": 0.417, "wrong_ci": [0.3, 0.5], "missed": 0.2, "false_alarms": None}
    (source, *_) = ACCOUNTS.unseen
    away = replace(source, coverage=Curve.from_dict({"points": [point]}))
    html = report.rendered(SUBJECT, PREDICTIONS, replace(ACCOUNTS, unseen=(away,)), "2026-11-21")
    page = Page()
    page.feed(html)
    seen = "".join(page.seen["en"])
    assert "films with a numberat homeview = AP" in seen
    assert "0.417 0.300 – 0.500 (60)" in seen
