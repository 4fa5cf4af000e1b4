"""When a film gets no number because the model is not sure of it: its probability lies where both classes lie.

Split-conformal prediction, each class by itself ("Mondrian": Vovk, Gammerman & Shafer 2005; Angelopoulos & Bates 2023,
Found. Trends Mach. Learn. 16:494). Of films like those of the pack's home, at most a share ``error`` of those with the
finding lie at or below ``low``, and at most so many of those without it at or above ``high``. Between the two a film
may show the finding or not (or, where the classes lie wide apart, looks like neither), and the box gives no number.
"""

from typing import Self

from pydantic import Field, model_validator

from firmware_app.packs.tasks.part import Interval, Part, Probability


class Abstain(Part):
    """The limits, as probabilities at the prevalence of the pack's calibration, and what they cost at home.

    ``films`` were held back from the networks that judged them; ``given`` is the share of these that gets a number, and
    ``wrong`` the share of those with one that is wrong, with limits that were set without the film's own part.
    Intervals are 95 %, patients resampled.
    """

    error: float = Field(gt=0.0, lt=0.5)
    low: Probability
    high: Probability
    films: int = Field(ge=1)
    given: Probability
    given_ci: Interval
    wrong: Probability | None = None
    wrong_ci: Interval | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the limits {self.low} and {self.high} are not ordered")
        return self

    def unsure(self, probability: float) -> bool:
        """Whether a film of this probability gets no number."""
        return self.low <= probability <= self.high
