"""What can go wrong in a converter, for the engineer at the keyboard: one sentence each, no traceback.

ConverterError
├── DataUnreadable      the data set is not what the recipe says
├── SplitLeaks          a patient, or a near-duplicate, is on both sides
├── RecipeInvalid       the recipe has a key or a value that means nothing
└── GateFailed          a measured number is worse than the recipe allows
"""

from collections.abc import Sequence


class ConverterError(Exception):
    """Base of everything a converter refuses to do."""


class DataUnreadable(ConverterError):
    """A data set, or one of its files, is not in the form that its reader expects."""

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"{source}: {detail}")


class SplitLeaks(ConverterError):
    """Films of one group stand on both sides of a split."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        shown = "; ".join(f"{one} and {other}" for one, other in self.pairs[:5])
        more = f" and {len(self.pairs) - 5} more" if len(self.pairs) > 5 else ""
        super().__init__(f"the same patient or film is on both sides of the split: {shown}{more}")


class RecipeInvalid(ConverterError):
    """A recipe cannot be followed as written."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")


class GateFailed(ConverterError):
    """A measured number misses what the recipe demands; the pack is not made."""

    def __init__(self, gate: str, detail: str) -> None:
        super().__init__(f"{gate}: {detail}")
