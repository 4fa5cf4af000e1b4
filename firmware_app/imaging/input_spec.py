"""What the input tensor of a model is, as a pack's manifest says it.

A value without pixels: whoever only reads manifests (the viewer, the reader) needs neither numpy nor Pillow for it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

LARGEST_SIDE_PX = 4096
"""No model of ours reads more than this on a side; a larger number in a manifest is a mistake."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the input tensor of a model is: its name, its shape (1, channels, height, width) and its grey scale.

    ``low_percentile`` and ``high_percentile`` (percent, 0 to 100) are the greys that become 0 and 1.
    Raises :class:`ValueError`, quoting the value, for a spec that no film could be turned into.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    height: int
    width: int
    channels: Literal[1] = 1
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    resize: Literal["squash"] = "squash"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the input tensor needs a name")
        for side in (self.height, self.width):
            if not 1 <= side <= LARGEST_SIDE_PX:
                raise ValueError(f"input size {self.height} x {self.width} px is outside 1 to {LARGEST_SIDE_PX}")
        if not 0.0 <= self.low_percentile < self.high_percentile <= 100.0:
            raise ValueError(f"percentiles {self.low_percentile}, {self.high_percentile} are not ordered in 0 to 100")
