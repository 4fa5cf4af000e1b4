"""The answers that set up a new box, from the console, the first page or a signed file.

One list of questions, one check for each answer.  An answer is text as a person gave it; `Answers` holds only values
that were checked.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.appliance.errors import (
    AE_TITLE_UNUSABLE,
    BOX_ID_INVALID,
    CLINIC_NAME_UNUSABLE,
    LANGUAGE_UNKNOWN,
    ZONE_UNKNOWN,
)
from firmware_app.core.language import LANGUAGES, N_
from firmware_app.core.settings import AeTitle, Config
from firmware_app.uplink.messages.summary import BOX_ID

if TYPE_CHECKING:
    from firmware_app.uplink.messages.envelope import (
        Provisioning,
    )  # with all of cryptography, which the viewer does not load

UNPROVISIONED: Final = "unprovisioned"
_CHINA: Final = "Asia/Shanghai"
_UTC: Final = frozenset({"UTC", "Etc/UTC"})  # what an installer leaves when nobody chose a time zone
MOST_NAME: Final = 60
_NO_NAME: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_AE: Final[TypeAdapter[str]] = TypeAdapter(AeTitle)


@dataclass(frozen=True, slots=True)
class Answers:
    """Checked answers.  An empty `calling` admits any sender."""

    box: str
    clinic: str
    language: str
    zone: str
    ae_title: str
    calling: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, given: Mapping[str, str]) -> Answers:
        """The answers that a form or a file gave as text; raises what the first wrong one raises."""
        values: dict[str, Any] = {}
        for question in QUESTIONS:
            values[question.key] = question.check(given.get(question.key, ""))
        return cls(**values)

    @classmethod
    def from_provisioning(cls, content: Provisioning) -> Answers:
        """The answers in a signed file, checked as if a person had typed them. Its PACS is ignored: nothing is sent to
        one.
        """
        values = {field.name: getattr(content, field.name) for field in fields(cls)}
        return cls.from_text({**values, "calling": ",".join(content.calling)})

    @classmethod
    def from_config(cls, config: Config, machine: str, box: str | None = None) -> Answers:
        """The present answers: the defaults of the next questions. *box*: its id, where it stands elsewhere."""
        now, fresh, zone = config.box, config.box.id == UNPROVISIONED, read_time_zone()
        return cls(
            box=box or (f"clinic-{machine}" if fresh else now.id),
            clinic="" if fresh and now.name == "Lantern" else now.name,
            language=now.language,
            zone=_CHINA if fresh and zone in _UTC else zone,
            ae_title=config.dicom.ae_title,
            calling=config.dicom.allowed_calling,
        )

    def as_text(self) -> dict[str, str]:
        """The text that a person would have typed; `from_text` turns it into the same answers."""
        return {
            question.key: ", ".join(value) if isinstance(value := getattr(self, question.key), tuple) else str(value)
            for question in QUESTIONS
        }

    def merge_into(self, tree: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """*tree*, a configuration, with these answers in it."""
        answers: dict[str, dict[str, Any]] = {
            "box": {"id": self.box, "name": self.clinic, "language": self.language},
            "dicom": {"ae_title": self.ae_title, "allowed_calling": list(self.calling)},
        }
        return {section: {**tree.get(section, {}), **answers.get(section, {})} for section in {**tree, **answers}}


# --- one check for each -----------------------------------------------------------------------------------------------


def _check_box(text: str) -> str:
    if re.fullmatch(BOX_ID, text, re.ASCII) is None or text == UNPROVISIONED:
        raise BOX_ID_INVALID(box=text[:40])
    return text


def _check_clinic(text: str) -> str:
    if not 0 < len(text) <= MOST_NAME or _NO_NAME.search(text):
        raise CLINIC_NAME_UNUSABLE(limit=MOST_NAME)
    return text


def _check_language(text: str) -> str:
    if text not in LANGUAGES:
        raise LANGUAGE_UNKNOWN(language=text[:20], languages=", ".join(LANGUAGES))
    return text


def _check_zone(text: str) -> str:
    if text not in zoneinfo.available_timezones():
        raise ZONE_UNKNOWN(zone=text[:40])
    return text


def _check_ae_title(text: str) -> str:
    try:
        return _AE.validate_python(text)
    except ValidationError:
        raise AE_TITLE_UNUSABLE(title=text[:40]) from None


def _check_calling(text: str) -> tuple[str, ...]:
    parts = re.split(r"[,，;；、\n]", text)  # also as a Chinese keyboard writes them
    return tuple(dict.fromkeys(_check_ae_title(part.strip()) for part in parts if part.strip()))[:64]


# --- the questions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is asked.  `check` takes text without space around it and raises a `ProvisionError`."""

    key: str
    title: str
    help: str
    _check: Callable[[str], Any]

    def check(self, text: str) -> Any:
        return self._check(text.strip())


QUESTIONS: Final = (
    Question("language", N_("Language"), N_("of the box's sentences and reports"), _check_language),
    Question("clinic", N_("Name of the clinic"), N_("as it stands on reports"), _check_clinic),
    Question("box", N_("Box id"), N_("small letters, digits and hyphens; it stays for good"), _check_box),
    Question("zone", N_("Time zone"), N_("as in Asia/Shanghai"), _check_zone),
    Question("ae_title", N_("AE title of this box"), N_("what the X-ray machine calls it"), _check_ae_title),
    Question("calling", N_("AE titles that may send"), N_("with commas between them; empty: any"), _check_calling),
)


def read_time_zone(link: Path = Path("/etc/localtime"), default: str = _CHINA) -> str:
    """The machine's time zone as it is set (`localtime(5)`); *default* where none is."""
    try:
        _, separator, name = str(link.readlink()).partition("zoneinfo/")
    except OSError:
        separator = name = ""
    return name if separator and name in zoneinfo.available_timezones() else default
