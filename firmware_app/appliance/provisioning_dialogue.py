"""`lantern provision` at the console: questions with usual defaults, a check for each, a summary, then the work.

Nothing is written before the person has agreed to the summary. Enter takes the value in brackets; a wrong answer gets
its reason and the question again; Ctrl-C or the end of input at any question leaves the box as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance import box_identity
from firmware_app.appliance.provisioning_answers import QUESTIONS, Answers, Question
from firmware_app.cases.accounts import parse_code
from firmware_app.core.errors import LanternError
from firmware_app.core.language import LANGUAGES, N_, language_name, printable_language, translate
from firmware_app.uplink.messages.envelope import HospitalBundle

_LANGUAGE: Final = N_("Language")
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
_HINT: Final = "y / N"

Ask = Callable[[str], str]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AgreedAnswers:
    """What the person at the console agreed to."""

    answers: Answers
    hospital: HospitalBundle | None
    code: str | None


class Dialogue:
    """One conversation. *ask* shows a prompt and returns a line; it raises EOFError or KeyboardInterrupt to end the
    talk.
    """

    def __init__(self, ask: Ask, tell: Tell, default: Answers, known: HospitalBundle | None, *, fixed: bool) -> None:
        """*default*: the present answers; *known*: the hospital that the box trusts; *fixed*: the id may not change."""
        self._ask, self._tell, self._default, self._known, self._fixed = ask, tell, default, known, fixed
        self.language = printable_language(default.language)

    def run(self) -> AgreedAnswers | None:
        """The agreement; None when the person said no to the summary."""
        chosen = self._language()
        self.language = printable_language(chosen)
        self._tell(self._say(_FOR_NONE))
        given = {"language": chosen}
        for question in QUESTIONS[1:]:
            if question.key == "box" and self._fixed:
                given["box"] = self._default.box
            else:
                given[question.key] = self._answer(question)
        answers = Answers.checked(given)
        hospital, code = self._hospital(), self._code()
        self._show(answers, hospital)
        if self._yes(self._say(_RIGHT)):
            return AgreedAnswers(answers, hospital, code)
        self._tell(self._say(_LEFT))
        return None

    # --- the questions -----------------------------------------------------------------------------------------------

    def _language(self) -> str:
        shown = {
            language: language_name(language) if printable_language(language) == language else language
            for language in LANGUAGES
        }
        title = " / ".join(dict.fromkeys(translate(_LANGUAGE, printable_language(language)) for language in LANGUAGES))
        listed = "".join(f"   {number} {name}" for number, name in enumerate(shown.values(), 1))
        now = str(LANGUAGES.index(self._default.language) + 1)
        while True:
            said = self._ask(f"{title}{listed}   [{now}]: ").strip().lower() or now
            for number, (language, name) in enumerate(shown.items(), 1):
                if said in (str(number), name.lower(), language.lower()):
                    return language

    def _answer(self, question: Question) -> str:
        """The text of an answer that passed its check."""
        default = self._default.as_text()[question.key]
        prompt = f"{self._say(question.title)} ({self._say(question.help)}) [{default}]: "
        return str(self._until_right(prompt, default, question.check, lambda text, _: text))

    def _hospital(self) -> HospitalBundle | None:
        default = self._known.fingerprint if self._known else ""
        prompt = f"{self._say(_BUNDLE)} ({self._say(_BUNDLE_HELP)}) [{default}]: "

        def read(text: str) -> HospitalBundle | None:
            return box_identity.read_hospital(_file(text)) if text else None

        while True:
            answer = self._until_right(prompt, "", read, lambda _, bundle: bundle)
            if answer is None:
                return self._known
            hospital: HospitalBundle = answer
            if hospital == self._known or (self._may_replace(hospital) and self._asked(_COMPARE, hospital)):
                return hospital

    def _may_replace(self, hospital: HospitalBundle) -> bool:
        """A hospital with a new sealing key and the same signing key is the same hospital."""
        return self._known is None or self._known.verify == hospital.verify or self._asked(_ANOTHER, self._known)

    def _asked(self, question: str, about: HospitalBundle) -> bool:
        return self._yes(self._say(question).format(fingerprint=about.fingerprint))

    def _code(self) -> str | None:
        def read(text: str) -> str | None:
            return parse_code(text) if text else None

        code: str | None = self._until_right(
            f"{self._say(_CODE)} ({self._say(_CODE_HELP)}) []: ", "", read, lambda _, given: given
        )
        return code

    def _until_right(
        self, prompt: str, default: str, check: Callable[[str], Any], result: Callable[[str, Any], Any]
    ) -> Any:
        while True:
            said = self._ask(prompt).strip()
            text = "" if said in _NONE else said or default
            try:
                return result(text, check(text))
            except LanternError as error:
                self._tell(f"  {error.text(self.language)}")

    # --- the summary -------------------------------------------------------------------------------------------------

    def _show(self, answers: Answers, hospital: HospitalBundle | None) -> None:
        self._tell(f"\n{self._say(_SUMMARY)}")
        text = answers.as_text()
        for question in QUESTIONS:
            self._tell(f"  {self._say(question.title)}: {text[question.key] or self._say(_NOTHING)}")
        shown = f"{hospital.host}:{hospital.port}, {hospital.fingerprint}" if hospital else self._say(_NOTHING)
        self._tell(f"  {self._say(_HOSPITAL)}: {shown}\n")

    def _yes(self, question: str) -> bool:
        return self._ask(f"{question} [{_HINT}]: ").strip().lower() in _YES

    def _say(self, message: str) -> str:
        return translate(message, self.language)


def _file(text: str) -> Path:
    """The file that was typed; in the home of nobody whom this machine knows there is none."""
    with suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)
