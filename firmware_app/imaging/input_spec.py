"""The description of a model's input tensor in a pack's manifest.

It has no pixels: processes that only read manifests (the viewer, the reader) need neither numpy nor Pillow for it.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

FrameRule = Literal["middle", "interval", "score"]
"""How frames are chosen from a clip (`imaging.keyframes`)."""
QualityKind = Literal["none", "chest_film", "ultrasound"]
"""The kind of pictures from which the quality limits were learnt (`imaging.image_limits`)."""
Crop = Literal["whole", "sector", "frame"]
"""Which part of a picture the model gets."""
Greys = Literal["percentiles", "full"]
"""Which greys become 0 and 1: two percentiles of the film, or black and white of the file."""
Resize = Literal["squash", "letterbox"]
"""How a film takes the model's shape: each side by itself, or with its aspect kept and black bars beside it."""
LARGEST_SIDE_PX = 4096
"""No model reads or asks for more pixels than this on a side; a larger number in a manifest is a mistake."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a pack demands of an image before its model sees it; its keys are those of `QualityPolicy`."""

    kind: QualityKind = "none"
    photographs: bool = False
    least_px: int | None = None


NO_DEMANDS: Final = Demands()


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the input tensor of a model is: its name, its shape (1, channels, height, width) and its grey scale.

    With ``depth`` it is a volume: (1, channels, depth, height, width). With three ``channels`` it is red, green and
    blue. ``crop`` "sector" gives an ultrasound model the sector only, "frame" a film without an even border around it.
    ``despeckle`` "lee" smooths speckle at the model's size. ``low_percentile`` and ``high_percentile`` (0 to 100) are
    the greys that become 0 and 1; with ``greys`` "full" these are black and white of the file. ``resize`` "letterbox"
    keeps the film's aspect, with black bars at two of its sides. Raises :class:`ValueError` for an impossible spec.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    height: int
    width: int
    channels: Literal[1, 3] = 1
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    resize: Resize = "squash"
    depth: int | None = None
    crop: Crop = "whole"
    despeckle: Literal["none", "lee"] = "none"
    greys: Greys = "percentiles"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the input tensor needs a name")
        if not all(1 <= side <= LARGEST_SIDE_PX for side in self.shape):
            size = " x ".join(str(side) for side in self.shape)
            raise ValueError(f"input size {size} px is outside 1 to {LARGEST_SIDE_PX}")
        if not 0.0 <= self.low_percentile < self.high_percentile <= 100.0:
            raise ValueError(f"percentiles {self.low_percentile}, {self.high_percentile} are not ordered in 0 to 100")
        if self.depth is not None and (self.crop, self.despeckle) != ("whole", "none"):
            raise ValueError("a volume has no sector or frame to crop to and no speckle")
        if self.depth is not None and (self.channels, self.resize, self.greys) != (1, "squash", "percentiles"):
            raise ValueError("a volume has no colours, no letterbox and no black and white of its own")
        if self.channels == 3 and self.despeckle != "none":
            raise ValueError("speckle is smoothed in greys: with three channels despeckle is none")

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) of a film, (depth, height, width) of a volume."""
        film = (self.height, self.width)
        return film if self.depth is None else (self.depth, *film)
