"""Sentences for people: every code has one, written in English and translated by one catalogue.

A sentence is stored and sent as (code, details) and rendered only where a person reads it, so one record can be
shown in Chinese and in English.  The English text is the gettext message id.
"""

from __future__ import annotations

import gettext
import importlib
import importlib.util
import os
import pkgutil
import stat
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, TextIO
from unicodedata import category

ENGLISH: Final = "en"
MORE_CATALOGUES: Final = "LANTERN_TRANSLATIONS"
"""The environment variable with a further folder of catalogues, LANGUAGE/LC_MESSAGES/lantern.mo."""
_FOLDERS: Final = tuple(
    Path(folder) for folder in (Path(__file__).parent / "translations", os.environ.get(MORE_CATALOGUES)) if folder
)
_SENTENCES: dict[str, str] = {}
_PLURALS: dict[str, tuple[str, str]] = {}
_TERMS: dict[str, Mapping[str, str]] = {}


def N_(message: str) -> str:  # noqa: N802 - the field's own name for "mark for translation, translate later"
    """Mark *message* for the catalogue; it is translated when it is shown."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:  # noqa: N802
    """Mark a message with its plural for the catalogue; `translate_plural` translates it."""
    return one, many


def register(code: str, message: str) -> str:
    """Bind *code* to its English sentence; a second sentence for one code is a programming error (`ValueError`)."""
    if _SENTENCES.setdefault(code, message) != message:
        raise ValueError(f"the code {code!r} already has another sentence")
    return code


def register_counted(code: str, count: str, forms: tuple[str, str]) -> str:
    """`register` a sentence with a plural (`NN_`), which the number in the placeholder *count* decides."""
    one, many = forms
    _PLURALS[code] = (count, one)
    return register(code, many)


def register_terms(placeholder: str, words: Mapping[str, str]) -> None:
    """Say how people call the values that sentences fill into *placeholder*: codes of DICOM, say, in English words.

    Of several values that are joined by ``+`` each is called so.
    """
    _TERMS[placeholder] = words


def list_codes() -> Mapping[str, str]:
    """Every error's code, and every other code known so far, with its English sentence (the catalogue test and
    `doctor` read it)."""
    import_errors()
    return dict(_SENTENCES)


@cache
def import_errors() -> None:
    """Import the errors of every flat: a process that shows what another one reported may lack its sentences."""
    root = importlib.import_module("firmware_app")
    for flat in pkgutil.iter_modules(root.__path__, "firmware_app."):
        if flat.ispkg and importlib.util.find_spec(f"{flat.name}.errors") is not None:
            importlib.import_module(f"{flat.name}.errors")


def _list_languages() -> tuple[str, ...]:
    translated = {file.parts[-3] for folder in _FOLDERS for file in folder.glob("*/LC_MESSAGES/lantern.mo")}
    return (*sorted(translated - {ENGLISH}), ENGLISH)


LANGUAGES: Final = _list_languages()
"""The languages of the box: one for each catalogue, and English, in which the sentences are written."""


@cache
def _load_catalogue(language: str) -> gettext.NullTranslations:
    for folder in _FOLDERS:
        if (folder / language).is_dir():
            return gettext.translation("lantern", folder, languages=[language])
    return gettext.NullTranslations()


def language_name(language: str) -> str:
    """The name of *language* in that language: its catalogue's text for “English”."""
    return translate(N_("English"), language)


def html_tag(language: str) -> str:
    """*language* as HTML names it (BCP 47): ``zh-CN`` for ``zh_CN``."""
    return language.replace("_", "-")


def terminal_language() -> str:
    """The language of the terminal by the POSIX locale variables; English where the box does not have it."""
    chosen = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    exact = [language for language in LANGUAGES if chosen.startswith(language)]
    return next(iter([*exact, *(language for language in LANGUAGES if language[:2] == chosen[:2])]), ENGLISH)


def translate(message: str, language: str) -> str:
    """The catalogue's text for an English *message*, or the message itself where the catalogue has none."""
    return _load_catalogue(language).gettext(message)


def translate_plural(one: str, many: str, count: int, language: str) -> str:
    """The catalogue's text for *count* things, with ``{n}`` filled by it."""
    return _load_catalogue(language).ngettext(one, many, count).format(n=count)


def render_sentence(code: str, details: Mapping[str, object], language: str) -> str:
    """The sentence of *code* in *language*, its ``{placeholders}`` filled from *details*.

    A code written by a newer version has no sentence here; it is then shown by its name rather than hidden.
    """
    if code not in _SENTENCES:
        import_errors()
    message = _SENTENCES.get(code, N_("The box reported {code}; this version has no sentence for it."))
    named = {
        name: translate_term(name, value, language) if isinstance(value, str) else value
        for name, value in details.items()
    }
    return _select_form(code, message, details, language).format_map(_Details({"code": code, **named}))


def sentence_template(code: str, language: str) -> str:
    """The sentence of *code* in *language* with its ``{placeholders}``; of a counted one the form for many."""
    if code not in _SENTENCES:
        import_errors()
    return _select_form(code, _SENTENCES[code], {}, language)


def _select_form(code: str, message: str, details: Mapping[str, object], language: str) -> str:
    count, one = _PLURALS.get(code, ("", ""))
    number = details.get(count)
    if isinstance(number, int):
        return _load_catalogue(language).ngettext(one, message, number)
    return _load_catalogue(language).ngettext(one, message, 2) if one else translate(message, language)


def translate_term(placeholder: str, value: str, language: str) -> str:
    """What people call *value* in *placeholder* (`register_terms`); *value* itself where it has no other name."""
    words = _TERMS.get(placeholder)
    if words is None:
        return value
    separator = translate(N_(", "), language)
    return separator.join(translate(words[part], language) if part in words else part for part in value.split("+"))


class _Details(dict[str, object]):
    """The details of a record; one written by another version may lack a placeholder of this version's sentence."""

    def __missing__(self, name: str) -> str:
        return "…"


def printable_language(language: str, stream: TextIO | None = None) -> str:
    """The language for what is printed on *stream* (default: stdout): *language*, or English where that is not shown.

    It is not where the stream's encoding lacks its characters, nor on the kernel's console (``TERM=linux``), which has
    512 glyphs and no Chinese one.  Whoever has given that a Chinese font sets ``LANTERN_BOX__LANGUAGE``, which then
    takes precedence.
    """
    if not _can_be_written(language, stream or sys.stdout):
        return ENGLISH
    if os.environ.get("LANTERN_BOX__LANGUAGE") in LANGUAGES or os.environ.get("TERM") != "linux":
        return language
    return "en" if _is_on_screen(stream or sys.stdout) else language


def _can_be_written(language: str, stream: TextIO) -> bool:
    try:
        language_name(language).encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_on_screen(stream: TextIO) -> bool:
    """Whether *stream* ends on the terminal; a pipe counts, since it usually leads to a pager there."""
    if stream.isatty():
        return True
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode) and sys.stderr.isatty()
    except OSError:  # no descriptor: the output is captured in memory
        return False


def escape_controls(text: str) -> str:
    """*text* for a terminal: control characters and marks of writing direction are shown as escapes, such as ``\\x1b``.

    A file's name may contain any of them, and a terminal would obey it.
    """
    return "".join(one if one.isprintable() or category(one) == "Zs" else _escape_character(one) for one in text)


def _escape_character(character: str) -> str:
    if character <= "\x7f":
        return repr(character)[1:-1]  # \r and \n rather than \x0d and \x0a
    return character.encode("ascii", "backslashreplace").decode("ascii")
