"""Makes the chapter of the technician's handbook with every sentence of `lantern doctor` and `lantern selftest`.

    python -m tests.handbook [--check] [--docs DIR]

The sentences come from the code and the catalogue; what to do about each is written by hand below it, in
`docs/operations.LANGUAGE.md`, and stays when the sentence changes.  Exit status 1 when anything is
missing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from firmware_app.appliance import checks, selftest
from firmware_app.core.language import ENGLISH, LANGUAGES, list_codes, sentence_template, translate

FILES: Final = {language: f"operations.{language}.md" for language in LANGUAGES}
BEGIN: Final = "<!-- sentences: begin (python -m tests.handbook) -->"
END: Final = "<!-- sentences: end -->"
TO_WRITE: Final = "TODO"
_ENTRY: Final = re.compile(r"^\*\*.+\*\* `(?P<code>[a-z_.]+)`\\?\n→ (?P<advice>.+)$", re.MULTILINE)
_PLACE: Final = re.compile(r"\{\w+\}")
SPEAKERS: Final = (checks.list_checks(), selftest)
"""What answers the two commands: importing them registers every sentence."""


ELSEWHERE: Final = (
    "account.*",
    "age*",
    "audit.*",
    "calibration.*",
    "care.*",
    "earlier.*",
    "explain.*",
    "export.*",
    "follow_up*",
    "hint.*",
    "hospital.*",
    "imaging.*",
    "install.*",
    "modality.*",
    "other.*",
    "outcomes.*",
    "pack.*",
    "provision.*",
    "quality.*",
    "read.*",
    "reading.*",
    "registration.*",
    "report.*",
    "sent.*",
    "series.*",
    "service.*",
    "software.*",
    "watch.*",
)
"""What other commands and the viewer's pages say; each such sentence tells by itself what to do."""


def _sections() -> dict[str, tuple[str, ...]]:
    """English title -> the patterns of that section, in the order in which a technician would look."""
    sections: dict[str, tuple[str, ...]] = {}
    for check in checks.list_checks().values():
        sections[check.HANDBOOK.title] = sections.get(check.HANDBOOK.title, ()) + check.HANDBOOK.patterns
    return sections


def list_groups() -> dict[str, list[str]]:
    """English title -> the codes of that section, in order."""
    sections = _sections()
    codes_of: dict[str, list[str]] = {title: [] for title in sections}
    for code in sorted(list_codes()):
        fitting = [
            (len(pattern), title)
            for title, patterns in sections.items()
            for pattern in patterns
            if fnmatchcase(code, pattern)
        ]
        elsewhere = max((len(pattern) for pattern in ELSEWHERE if fnmatchcase(code, pattern)), default=0)
        if fitting and max(fitting)[0] >= elsewhere:
            codes_of[max(fitting)[1]].append(code)
    return codes_of


def list_unassigned_codes() -> list[str]:
    """Codes of which nobody has said whether the doctor can say them."""
    patterns = (*ELSEWHERE, *(pattern for patterns in _sections().values() for pattern in patterns))
    return [code for code in sorted(list_codes()) if not any(fnmatchcase(code, pattern) for pattern in patterns)]


def format_sentence(code: str, language: str) -> str:
    """As a person sees it: a gap where the box puts a name or a number."""
    return _PLACE.sub("…", sentence_template(code, language))


def parse_advice(text: str) -> dict[str, str]:
    """Code -> what to do, as a chapter has it."""
    return {entry["code"]: entry["advice"] for entry in _ENTRY.finditer(text) if entry["advice"] != TO_WRITE}


def make_chapter(language: str, written: Mapping[str, str]) -> str:
    """The chapter's sections, with what is *written* below each sentence."""
    return "\n".join(_lines(language, written))


def _lines(language: str, written: Mapping[str, str]) -> Iterator[str]:
    yield from (BEGIN, "")
    for title, group_codes in list_groups().items():
        if group_codes:
            yield from (f"### {translate(title, language)}", "")
        for code in group_codes:
            yield from (f"**{format_sentence(code, language)}** `{code}`\\", f"→ {written.get(code, TO_WRITE)}", "")
    yield END


def update_chapter(path: Path, language: str, *, write: bool) -> list[str]:
    """Bring the chapter in *path* up to date; returns what is missing in it, in words."""
    before = path.read_text("utf-8")
    head, _, rest = before.partition(BEGIN)
    body, _, tail = rest.partition(END)
    written = parse_advice(body)
    after = f"{head}{make_chapter(language, written)}{tail}"
    wanted = [code for group_codes in list_groups().values() for code in group_codes]
    missing = [f"{path.name}: what to do is not written: {code}" for code in wanted if code not in written]
    missing += [f"{path.name}: no such sentence any more: {code}" for code in written if code not in wanted]
    missing += [f"{path.name}: not translated: {code}" for code in wanted if _untranslated(code, language)]
    if write and after != before:
        path.write_text(after, "utf-8")
    elif after != before:
        missing.append(f"{path.name}: its sentences are not those of the code; run this without --check")
    return missing


def _untranslated(code: str, language: str) -> bool:
    return language != ENGLISH and format_sentence(code, language) == format_sentence(code, ENGLISH)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.handbook", description=(__doc__ or "")[:115])
    parser.add_argument("--docs", type=Path, metavar="DIR", default=Path("docs"), help="default: docs")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    options = parser.parse_args(arguments)
    missing = [f"nobody has said whether the doctor can say this: {code}" for code in list_unassigned_codes()]
    for language, name in FILES.items():
        path = options.docs / name
        has_one = path.exists()
        missing += update_chapter(path, language, write=not options.check) if has_one else [f"there is no {name}"]
    print("\n".join(missing) or "The handbook has every sentence.")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
