"""The questions of `lantern provision` at the console: usual defaults, a check for each, a summary to agree to.

Nothing is written before the person has agreed. Enter takes the value in brackets; a wrong answer gets its reason and
the question again; Ctrl-C or the end of input leaves the box as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from firmware_app.appliance import box_identity
from firmware_app.appliance.provisioning_answers import QUESTIONS, Answers
from firmware_app.cases.accounts import parse_code
from firmware_app.core.errors import LanternError
from firmware_app.core.language import LANGUAGES, N_, printable_language, translate
from firmware_app.uplink.messages.envelope import HospitalBundle

_YES: Final = frozenset({"y", "yes", "j", "是", "对", "好"})
_NONE: Final = frozenset({"-", "none", "无"})
_BUNDLE: Final = N_("The hospital's file (hospital.json)")
_BUNDLE_HELP: Final = N_("where it lies; empty: no hospital for now")
_CODE: Final = N_("Code for the first account")
_CODE_HELP: Final = N_("from the label; empty: the box makes one")
_ANOTHER: Final = N_("This box reports to the hospital {fingerprint}. Is it to report to another one from now on?")
_COMPARE: Final = N_("The hospital's fingerprint is {fingerprint}. Compare it by telephone. Is it the same?")
_SUMMARY: Final = N_("This is what the box is told:")
_RIGHT: Final = N_("Is all of this right? Nothing was written so far.")
_HOSPITAL: Final = N_("Hospital")
_NOTHING: Final = N_("nothing")
_FOR_NONE: Final = N_("Enter takes what stands in brackets; “-” takes nothing.")
_LEFT: Final = N_("Nothing was written.")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class AgreedAnswers:
    """What the person at the console agreed to."""

    answers: Answers
    hospital: HospitalBundle | None
    code: str | None


@dataclass(slots=True)
class _Console:
    """Asks in *language*; `ask` shows a prompt and returns a line."""

    ask: Callable[[str], str]
    tell: Callable[[str], None]
    language: str

    def say(self, message: str, **values: str) -> str:
        return translate(message, self.language).format(**values)

    def confirm(self, message: str, **values: str) -> bool:
        return self.ask(f"{self.say(message, **values)} [y / N]: ").strip().lower() in _YES

    def ask_checked(self, title: str, hint: str, default: str, check: Callable[[str], Answer]) -> Answer:
        """The checked answer; a wrong one gets its reason and the question again."""
        while True:
            typed = self.ask(f"{self.say(title)} ({self.say(hint)}) [{default}]: ").strip()
            try:
                return check("" if typed in _NONE else typed or default)
            except LanternError as error:
                self.tell(f"  {error.text(self.language)}")


def ask_answers(
    ask: Callable[[str], str],
    tell: Callable[[str], None],
    default: Answers,
    known: HospitalBundle | None,
    *,
    fixed: bool,
) -> AgreedAnswers | None:
    """The agreement; None when the person said no to the summary.

    *default*: the present answers; *known*: the hospital that the box trusts; *fixed*: the id may not change.
    """
    console = _Console(ask, tell, printable_language(default.language))
    given = default.as_text()
    tell(console.say(_FOR_NONE))
    for question in QUESTIONS:
        if question.key == "box" and fixed:
            continue
        hint = ", ".join(LANGUAGES) if question.key == "language" else question.help

        def accept(text: str, check: Callable[[str], object] = question.check) -> str:
            check(text)
            return text

        given[question.key] = console.ask_checked(question.title, hint, given[question.key], accept)
        if question.key == "language":
            console.language = printable_language(given["language"])
    answers = Answers.from_text(given)
    hospital = _ask_hospital(console, known)
    code = console.ask_checked(_CODE, _CODE_HELP, "", lambda text: parse_code(text) if text else None)
    _show_summary(console, answers, hospital)
    if console.confirm(_RIGHT):
        return AgreedAnswers(answers, hospital, code)
    tell(console.say(_LEFT))
    return None


def _ask_hospital(console: _Console, known: HospitalBundle | None) -> HospitalBundle | None:
    """The hospital of the file that is named, once its fingerprint was compared; by default the known one."""
    hint = f"{console.say(_BUNDLE_HELP)}; {known.fingerprint}" if known else _BUNDLE_HELP
    while True:
        hospital = console.ask_checked(_BUNDLE, hint, "", lambda text: _read_bundle(text) if text else None)
        if hospital is None or hospital == known:
            return known
        # With a new sealing key and the same signing key it is the same hospital.
        trusted = known.fingerprint if known is not None and known.verify != hospital.verify else None
        if trusted is not None and not console.confirm(_ANOTHER, fingerprint=trusted):
            continue
        if console.confirm(_COMPARE, fingerprint=hospital.fingerprint):
            return hospital


def _read_bundle(text: str) -> HospitalBundle:
    """Read the bundle in the file that a person named; ``~`` of an unknown user stays as it was typed."""
    path = Path(text)
    with suppress(RuntimeError):
        path = path.expanduser()
    return box_identity.read_hospital(path)


def _show_summary(console: _Console, answers: Answers, hospital: HospitalBundle | None) -> None:
    nothing = console.say(_NOTHING)
    console.tell(f"\n{console.say(_SUMMARY)}")
    for question in QUESTIONS:
        console.tell(f"  {console.say(question.title)}: {answers.as_text()[question.key] or nothing}")
    shown = f"{hospital.host}:{hospital.port}, {hospital.fingerprint}" if hospital else nothing
    console.tell(f"  {console.say(_HOSPITAL)}: {shown}\n")
