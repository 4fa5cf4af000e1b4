"""A case on paper: all that a doctor needs, whole names, grey print, and what is signed stays as it was."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdfium2.raw
import pytest
import zxingcpp
from PIL import Image

from firmware_app.cases.patients import DisplayedPatient, Patient
from firmware_app.cases.remarks import Remark, RemarkKind
from firmware_app.core import clock
from firmware_app.core.records import Feature, FollowUp, Quality, Reason
from firmware_app.core.settings import Config
from firmware_app.results import rendering
from firmware_app.results.case_view import CaseView
from firmware_app.results.errors import ReportError, ReportFontMissing, ReportGaveUp
from firmware_app.results.pdf import plates, typesetting
from firmware_app.results.pdf.typesetting import FontLibrary
from tests import films, printed
from tests.results import make_case_view

ADVICE = FollowUp(
    "again",
    {"en": "Another film in a week.", "zh_CN": "一周后复查胸片。"},
    {"en": "A rule", "zh_CN": "某规则"},
    "WHO",
    "p",
    "1",
)
IN_CHINESE = (
    "王小明",
    "P-1",
    "45岁",
    "男",
    "2026-11-2311:30",
    "肺炎征象",
    "93%",
    "41%",
    "12.3×5.6mm",
    "20×10px",
    "位于图像中央",
    "一周后复查胸片。",
    "chest-xray-child0.2.2",
    "onnxruntime",
    "不同意（李医生）",
    "尚无医生签名",
    "未经医生判断，不得用于诊断",
    "c-1f2e3d4c",
    "第2版",
    "某某卫生院",
)
IN_ENGLISH = (
    "王小明",
    "45years",
    "male",
    "Signsofpneumonia",
    "found",
    "Anotherfilminaweek.",
    "inthemiddleofthepicture",
    "Disagree(李医生)",
    "nodoctorhassigned",
    "AI-assisted,notfordiagnosticusewithoutadoctor.",
    "Version2of",
)


@pytest.fixture(scope="module", autouse=True)
def _font() -> None:
    printed.need_font()


@pytest.fixture
def result(tmp_path: Path) -> CaseView:
    film = films.save(tmp_path, "film.dcm", films.film(StudyDate="20261123", StudyTime="1130"))
    made = make_case_view(film, tmp_path / "display", version=2)
    hinted = replace(made.case.readings[0], quality=Quality(True, (Reason("routing.no_pack"),)))
    return replace(made, case=replace(made.case, readings=(hinted,), follow_up=ADVICE))


@pytest.mark.parametrize(("language", "said"), [("zh_CN", IN_CHINESE), ("en", IN_ENGLISH)])
def test_a_report_says_all_that_a_doctor_needs(result: CaseView, language: str, said: tuple[str, ...]) -> None:
    told = printed.extract_text(typesetting.typeset_report(result, language))
    assert [one for one in said if one not in told] == []


def test_the_doctors_word_stands_above_the_machines_with_the_signature_line_on_page_one(result: CaseView) -> None:
    at = clock.parse_stamp("2026-11-24T08:10:00+00:00")
    said = (
        Remark(RemarkKind.NOTE, "Fluid on the left.", finding="", instance="", actor="Li", at=at),
        Remark(RemarkKind.IMPRESSION, "Pleurisy. " * 190, finding="", instance="", actor="Li", at=at),
    )
    for written in (said, tuple(replace(one, text=one.text[:20]) for one in said)):
        made = typesetting.typeset_report(replace(result, remarks=written), "en")
        told = printed.extract_text(made)
        assert told.index("Impression:Pleurisy.") < told.index("Fluidontheleft.") < told.index("Probability")
        first = pypdfium2.PdfDocument(made)[0].get_textpage().get_text_range()
        assert "Doctor:" in first
        assert "Date:" in first
    assert result.state == replace(result, remarks=()).state  # and what was made before anybody could write stays so


def test_rare_characters_stay_whole_and_one_without_a_font_is_named_by_its_number(result: CaseView) -> None:
    rare, without = "𠮷㛃𬱖𫖯䶮", "\U0002a6a5"
    assert typesetting.find_fonts().list_missing([rare + without]) == (without,)
    named = replace(result, known=DisplayedPatient(Patient(f"{rare}{without}·买买提", "1", "003M", "F")))
    told = printed.extract_text(typesetting.typeset_report(named, "zh_CN"))
    assert f"{rare}[U+2A6A5]·买买提" in told
    assert "以其编码代替：U+2A6A5" in told


def test_a_box_without_a_chinese_font_says_so_and_still_prints_what_needs_none(result: CaseView) -> None:
    bare = FontLibrary((), typesetting.find_fonts([]).library)
    with pytest.raises(ReportFontMissing, match="fonts-noto-cjk"):
        typesetting.typeset_report(result, "zh_CN", bare)
    latin = replace(result, known=DisplayedPatient(Patient("Li Wei")), verdicts=(), box="Clinic")
    assert "LiWei" in printed.extract_text(typesetting.typeset_report(latin, "en", bare))


def test_the_longest_report_has_two_pages_and_half_a_megabyte(result: CaseView, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 65535, (900, 900)).astype(np.uint16)  # what compresses worst
    one = replace(
        result.case.lesions[0], features=(Feature("shape", "irregular", 0.8), Feature("margin", "circumscribed", 0.6))
    )
    images, readings = [], []
    for number in range(3):
        folder = tmp_path / f"display-{number}"
        make_case_view(Path(result.images[0].file), folder)
        Image.fromarray(noise).save(folder / "frame-000.png")
        images.append(replace(result.images[0], instance=f"i-{number}", display=str(folder)))
        marks = tuple(replace(one, instance=f"i-{number}") for _ in range(9))
        readings.append(replace(result.case.readings[0], instances=(f"i-{number}",), lesions=marks))
    lesions = tuple(lesion for reading in readings for lesion in reading.lesions)
    long = replace(
        result,
        images=tuple(images),
        case=replace(result.case, readings=tuple(readings), lesions=lesions),
        known=DisplayedPatient(Patient("Wolfeschlegelsteinhausenbergerdorff" * 2, "9" * 64, "045Y", "M")),
    )
    for language in ("zh_CN", "en"):
        made = typesetting.typeset_report(long, language)
        assert printed.count_pages(made) == 2
        assert len(made) <= 500_000


def test_marks_are_black_and_white_and_show_on_any_ground(result: CaseView) -> None:
    (plate,) = plates.make_report_images(result.case, lambda _: Path(result.images[0].display))
    assert plate.marked is not None
    plain, marked = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (plate.plain, plate.marked))
    assert plain.ndim == 2
    changed = np.abs(marked - plain) > 60
    assert (marked[changed] < 90).any()
    assert (marked[changed] > 165).any()
    for half in np.split(changed, [changed.shape[1] // 3], axis=1):  # dark on the left, bright on the right
        assert half.any()


def test_the_qr_code_on_paper_is_the_cases_reference(result: CaseView) -> None:
    page = printed.render_page(typesetting.typeset_report(result, "zh_CN"))
    assert [barcode.text for barcode in zxingcpp.read_barcodes(page)] == ["c-1f2e3d4c"]


def test_every_font_is_embedded(result: CaseView) -> None:
    document = pypdfium2.PdfDocument(typesetting.typeset_report(result, "zh_CN"))
    texts = [one for one in document[0].get_objects() if one.type == pypdfium2.raw.FPDF_PAGEOBJ_TEXT]
    held = {pypdfium2.raw.FPDFFont_GetIsEmbedded(pypdfium2.raw.FPDFTextObj_GetFont(text.raw)) for text in texts}
    assert held == {1}


def test_only_a_missing_font_leaves_a_pdf_out_and_what_may_pass_is_raised(
    result: CaseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the archive would get this version without its PDF, and nobody would know."""
    for error in (ReportFontMissing(package="fonts-noto-cjk"), ReportGaveUp(detail="out of time")):

        def refuse(*_: object, error: ReportError = error) -> bytes:
            raise error

        monkeypatch.setattr(rendering, "render_pdf", refuse)
        if isinstance(error, ReportGaveUp):
            with pytest.raises(ReportGaveUp):
                rendering.render_pdf_if_possible(Config(), result)
        else:
            assert rendering.render_pdf_if_possible(Config(), result) is None
