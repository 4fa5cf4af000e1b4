"""A pack's rules of follow-up: what should happen next, by a rule that has a name and a source.

Rows stand from the least to the most pressing; of those that hold, the last one is the advice.  A row may ask for facts
of the patient's background (`background`), which a person enters or the header codes.  A fact can only make more rows
hold, so it can raise the advice and never lower it; and no probability depends on it.
"""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from firmware_app.packs.manifest_types import LocalisedText, ManifestPart

_CODE: Final = r"^[a-z][a-z0-9_]{0,39}$"
_Codes = tuple[Annotated[str, Field(pattern=_CODE)], ...]
_Terms = tuple[Annotated[str, Field(min_length=1)], ...]


class NumberRange(ManifestPart):
    """Numbers from ``at_least`` on and below ``below``; one of the two may be left out."""

    at_least: float | None = None
    below: float | None = None

    def contains(self, number: float | None) -> bool:
        """Whether *number* is known and inside."""
        if number is None:
            return False
        return (self.at_least is None or number >= self.at_least) and (self.below is None or number < self.below)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.at_least is None and self.below is None:
            raise ValueError("a range needs at_least or below")
        if self.at_least is not None and self.below is not None and self.at_least >= self.below:
            raise ValueError(f"nothing is at least {self.at_least} and below {self.below}")
        return self


class BackgroundFact(ManifestPart):
    """A fact of the patient's background, as people are asked for it, and the diagnoses that state it in a header.

    A diagnosis is ``SCHEME:CODE``, for example ``I10:B18.1`` (:mod:`firmware_app.imaging.image_properties`).
    """

    code: str = Field(pattern=_CODE)
    label: LocalisedText
    diagnoses: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+$")], ...] = ()


class RuleRow(ManifestPart):
    """One rule.  It holds when everything that it says is so; it says at least one of the first three.

    ``finding``: a lesion of the case belongs to this finding, or with ``score`` has it with such a probability; its
    largest ``long_axis_mm`` and its ``features`` (name → terms, one of which it has) are as stated. A size that is not
    known in millimetres is in no range. ``positive``: these findings are positive in the case. ``nothing``: no finding
    is positive, there is no lesion, and every image of the case was read.
    """

    code: str = Field(pattern=_CODE)
    advice: LocalisedText
    rule: LocalisedText
    source: str = Field(min_length=8)
    finding: str | None = None
    positive: _Codes = ()
    nothing: bool = False
    score: NumberRange | None = None
    long_axis_mm: NumberRange | None = None
    features: dict[str, _Terms] = Field(default_factory=dict)
    background: _Codes = ()

    @model_validator(mode="after")
    def _check_condition(self) -> Self:
        if self.finding is None and (self.score is not None or self.long_axis_mm is not None or self.features):
            raise ValueError(f"the row {self.code} is about a lesion, and names no finding")
        if not (self.finding or self.positive or self.nothing):
            raise ValueError(f"the row {self.code} says neither finding, positive nor nothing")
        if self.nothing and (self.finding or self.positive):
            raise ValueError(f"the row {self.code} says both something and nothing")
        return self


class FollowUpRules(ManifestPart):
    """The table: ``background`` are the facts that its rows may ask for."""

    rows: tuple[RuleRow, ...] = Field(min_length=1)
    background: tuple[BackgroundFact, ...] = ()

    @model_validator(mode="after")
    def _check_facts(self) -> Self:
        for name, codes in (
            ("rows", [row.code for row in self.rows]),
            ("facts", [background_fact.code for background_fact in self.background]),
        ):
            if len(set(codes)) != len(codes):
                raise ValueError(f"two {name} of follow_up share one code")
        facts = {background_fact.code for background_fact in self.background}
        for row in self.rows:
            if missing := set(row.background) - facts:
                raise ValueError(f"the row {row.code} asks for {min(missing)}, which background does not have")
        return self

    def findings(self) -> set[str]:
        """The codes of findings that its rows name."""
        return {code for row in self.rows for code in (row.finding, *row.positive) if code}

    def find_facts(self, diagnoses: tuple[str, ...]) -> tuple[str, ...]:
        """The codes of the facts that coded *diagnoses* state."""
        return tuple(fact.code for fact in self.background if set(fact.diagnoses) & set(diagnoses))
