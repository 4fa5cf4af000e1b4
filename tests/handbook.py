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
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from firmware_app.appliance import doctor, selftest
from firmware_app.core.language import ENGLISH, LANGUAGES, list_codes, sentence_template

FILES: Final = {language: f"operations.{language}.md" for language in LANGUAGES}
BEGIN: Final = "<!-- sentences: begin (python -m tests.handbook) -->"
END: Final = "<!-- sentences: end -->"
TO_WRITE: Final = "TODO"
_ENTRY: Final = re.compile(r"^\*\*.+\*\* `(?P<code>[a-z_.]+)`\\?\n→ (?P<advice>.+)$", re.MULTILINE)
_PLACE: Final = re.compile(r"\{\w+\}")
SPEAKERS: Final = (doctor, selftest)
"""What answers the two commands: importing them registers every sentence."""


@dataclass(frozen=True)
class Group:
    """One section of the chapter: its title in each language, and the codes in it as patterns."""

    titles: Mapping[str, str]
    patterns: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.titles[ENGLISH]


def _group(english: str, chinese: str, *patterns: str) -> Group:
    return Group({ENGLISH: english, "zh_CN": chinese}, patterns)


GROUPS: Final = (
    _group("Processes and the page", "程序与网页", "doctor.process_*", "doctor.gateway_*", "front.*", "setup.*"),
    _group(
        "Disk and old images",
        "磁盘与旧图像",
        "doctor.state_*",
        "doctor.space_low",
        "disk.*",
        "store.unusable",
        "machine.disk_*",
        "machine.inodes_*",
        "retention.*",
    ),
    _group("The machine", "机器", "machine.*"),
    _group("Software of the box", "本机软件", "doctor.software_*", "slot.*"),
    _group("The clock", "时钟", "clock.*"),
    _group(
        "The databases",
        "数据库",
        "doctor.database_*",
        "doctor.key_once",
        "doctor.*rebuilt*",
        "doctor.images_lost",
        "doctor.export_*",
        "store.*",
        "selftest.database_ok",
    ),
    _group("Backup", "备份", "doctor.backup_*", "backup.*", "care.backup_*"),
    _group(
        "Models",
        "模型",
        "doctor.pack*",
        "doctor.runtime_*",
        "doctor.way_*",
        "runtime.*",
        "selftest.golden_*",
        "selftest.no_pack",
        "pack.manifest",
        "pack.artefact_missing",
        "pack.digest",
        "pack.task",
        "pack.unlisted",
        "pack.sums",
    ),
    _group(
        "Images that wait or were refused",
        "等待或被拒收的图像",
        "doctor.queue_*",
        "doctor.refused*",
        "intake.*",
        "imaging.undecodable",
        "imaging.unsupported",
        "imaging.too_large",
        "imaging.memory",
        "imaging.empty_clip",
        "reading.*gave_up",
    ),
    _group("USB sticks", "U 盘", "stick.*"),
    _group("The PACS and the hospital's worklist", "PACS（影像归档）和医院的工作列表", "pacs.*", "worklist.*"),
    _group("The line to the hospital", "到医院的线路", "line.*", "uplink.*"),
    _group("The self-test", "自检", "doctor.selftest_*", "selftest.*"),
    _group(
        "Settings", "设置", "doctor.population_*", "doctor.*_door", "doctor.prevalence_idle", "config.*", "doctor.*"
    ),
)
"""In the order in which a technician would look; a code belongs to the first group that names it."""

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


def list_groups() -> dict[str, list[str]]:
    """English title -> the codes of that section, in order."""
    codes_of: dict[str, list[str]] = {group.title: [] for group in GROUPS}
    for code in sorted(list_codes()):
        home = next((one for one in GROUPS if any(fnmatchcase(code, pattern) for pattern in one.patterns)), None)
        if home is not None:
            codes_of[home.title].append(code)
    return codes_of


def list_unassigned_codes() -> list[str]:
    """Codes of which nobody has said whether the doctor can say them."""
    patterns = (*ELSEWHERE, *(pattern for group in GROUPS for pattern in group.patterns))
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
    for group in GROUPS:
        group_codes = list_groups()[group.title]
        if group_codes:
            yield from (f"### {group.titles[language]}", "")
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
