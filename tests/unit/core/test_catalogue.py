"""One catalogue holds every sentence a person may read; none is missing in Chinese, none is stale."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import firmware_app
import hospital
import systemd.build
import web
from firmware_app.core.language import LANGUAGES, translate

FOLDER = Path(firmware_app.__file__).parent / "core" / "translations" / "zh_CN" / "LC_MESSAGES"
KEYWORDS = {"N_": None, "_": None, "NN_": (1, 2), "_n": (1, 2)}
SOURCES = {
    Path(firmware_app.__file__).parent: [("**.py", "python")],
    Path(hospital.__file__).parent: [("**.py", "python")],
    Path(systemd.build.__file__).parent: [("**.py", "python")],
    Path(web.__file__).parent: [("**.py", "python"), ("templates/**.html", "jinja2")],
}


@cache
def in_code() -> set[str]:
    messages = (one for folder, ways in SOURCES.items() for one in extract_from_dir(folder, ways, keywords=KEYWORDS))
    return {text(message) for _, _, message, _, _ in messages}


def text(message: str | list[str] | tuple[str, ...] | None) -> str:
    """Of a message with a plural: its last form, with every placeholder; Chinese has but one."""
    return message if isinstance(message, str) else (message or [""])[-1]


def chinese() -> dict[str, str]:
    with (FOLDER / "lantern.po").open("rb") as handle:
        return {text(entry.id): text(entry.string) for entry in read_po(handle, locale="zh_CN") if entry.id}


def test_every_sentence_in_the_code_is_in_the_catalogue_and_no_other() -> None:
    assert len(in_code()) > 60
    assert chinese().keys() == in_code(), "run `make catalogue`, translate what is new, run it again"


def test_every_sentence_has_a_chinese_text_with_the_same_placeholders() -> None:
    for english, translated in chinese().items():
        assert translated.strip(), f"not translated: {english}"
        assert sorted(re.findall(r"{[^}]*}", translated)) == sorted(re.findall(r"{[^}]*}", english)), english


def test_the_compiled_catalogue_is_the_written_one() -> None:
    with (FOLDER / "lantern.mo").open("rb") as handle:
        compiled = {text(entry.id): text(entry.string) for entry in read_mo(handle) if entry.id}
    assert compiled == chinese(), "run `make catalogue`"


def test_both_languages_answer() -> None:
    assert translate("Not for diagnostic use without a doctor.", "zh_CN") == "未经医生判断，不得用于诊断。"
    assert {translate("urgent", language) for language in LANGUAGES} == {"urgent", "紧急"}


def test_no_word_of_a_page_stands_outside_the_catalogue() -> None:
    """In a template, text between tags is either a value or goes through ``_``."""
    for path in sorted((Path(web.__file__).parent / "templates").glob("*.html")):
        code = r"{% block body_class %}.*?{% endblock %}|{#.*?#}|{%.*?%}|{{.*?}}"
        text = re.sub(code, "", path.read_text("utf-8"), flags=re.DOTALL)
        words = re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", re.sub(r"<[^>]*>|&nbsp;", " ", text))
        assert set(words) <= {"AUC"}, f"{path.name}: {words}"
