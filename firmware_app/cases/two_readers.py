"""Two doctors who read a case without knowing of each other's words, and a third who settles where they differ.

A doctor has spoken who has a verdict on every finding of the current reading.  Until two have, nobody sees another's
words; then the words of these two stand, and where they differ a third doctor, who sees both, has the last word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_app.cases.worklist import DoctorVerdict


@dataclass(frozen=True, slots=True)
class Readers:
    """How far the readers of one case are: the first two who have `spoken`, the findings on which these `differ`, and
    the third doctor who has `settled` them, empty as long as nobody has."""

    spoken: tuple[str, ...]
    differ: tuple[str, ...] = ()
    settled: str = ""

    @property
    def blind(self) -> bool:
        """Whether nobody may see another's words yet."""
        return len(self.spoken) < 2

    @property
    def complete(self) -> bool:
        """Whether no doctor's word is wanted any more."""
        return not self.blind and (not self.differ or bool(self.settled))

    def binds(self, actor: str) -> bool:
        """Whether the words of *actor* stand and can no longer be changed."""
        return not self.blind and (actor in self.spoken or actor == self.settled)

    def wants(self, actor: str) -> bool:
        """Whether the case still needs a word of *actor*."""
        return not self.complete and actor not in self.spoken


def of(verdicts: Iterable[DoctorVerdict], findings: Collection[str]) -> Readers:
    """The readers of a case with these *findings*; *verdicts* stand in the order in which they were given."""
    words: dict[str, dict[str, str]] = {}
    turns: dict[tuple[str, str], int] = {}
    for turn, one in enumerate(verdicts):
        if not one.earlier and one.finding in findings:
            said = words.pop(one.actor, {})  # who spoke last stands last
            words[one.actor] = {**said, one.finding: one.verdict}
            turns[one.actor, one.finding] = turn
    spoken = tuple(actor for actor, said in words.items() if said.keys() == set(findings))[:2]
    if len(spoken) < 2:
        return Readers(spoken)
    first, second = (words[actor] for actor in spoken)
    differ = tuple(code for code in findings if first[code] != second[code])
    known = max(turns[actor, code] for actor in spoken for code in findings)  # from then on all words can be seen
    third = (
        actor for actor in words if actor not in spoken and all(turns.get((actor, code), -1) > known for code in differ)
    )
    return Readers(spoken, differ, next(third, "") if differ else "")
