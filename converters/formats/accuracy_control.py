"""NNCF's accuracy control: operators whose rounding costs most go back to float, until the answers are near enough.

What is near enough is measured on the task's own answers, by :func:`moved`; so an operator of any kind may
stay in float, also one that is neither convolution nor product, as the exponential of a log-sum-exp pooling.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.interface import CONTROLS, Answers, Films

Outputs = Mapping[str, NDArray[np.float32]]
Asked = Callable[[Films], Outputs]
Item = tuple[NDArray[np.float32], NDArray[Any]]
"""A film (1, 1, H, W), and the float file's answer for it."""

MOST_MOVED = 0.13
"""Largest root-mean-square change of the answers, in spreads of the float ones, that is accepted of any INT8 file."""

FILMS = 192
RANKED = 24
"""Films on which a file is compared, and on which operators are ranked."""


def move(wanted: NDArray[Any], given: NDArray[Any], spread: float | None = None) -> float:
    """Root-mean-square change of answers, in spreads of the wanted ones or in the ``spread`` that is given."""
    scale = float(wanted.std()) if spread is None else spread
    return float(np.sqrt(np.mean((given - wanted) ** 2)) / max(scale, 1e-9))


def quantize(
    model: Any,
    films: Films,
    answers: Answers,
    method: str,
    opened: Callable[[Any], Asked],
    feed: Callable[[Films], Any],
    **settings: Any,
) -> Any:
    """NNCF's quantized form of ``model``.

    ``opened`` makes of a model, as NNCF hands it over, a function that gives its outputs for a film (1, 1, H, W);
    ``feed`` makes of a film what NNCF calibrates with; ``settings`` are those of ``nncf.quantize``.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    each = [film[np.newaxis] for film in films]
    plain = opened(model)
    items = [(film, answers(plain(film))) for film in each[:FILMS]]
    spread = float(np.concatenate([wanted for _, wanted in items]).std())

    def fidelity(prepared: Any, some: Iterable[Item]) -> float:
        asked = opened(prepared)
        pairs = [(wanted, answers(asked(film))) for film, wanted in some]
        wanted, given = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        return 1.0 - move(wanted, given, spread)  # NNCF divides by that of the float file

    parameters = settings.pop("advanced_parameters", None)
    return nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset([feed(film) for film in each]),
        nncf.Dataset(items),
        fidelity,
        max_drop=CONTROLS[method] * MOST_MOVED,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=len(films),
        advanced_quantization_parameters=parameters,
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            ranking_subset_size=RANKED, num_ranking_workers=1
        ),
        **settings,
    )
