"""The model files of one network: which there are, how each is made from the network, and how one is asked.

A file is known by its runtime and precision; what each is called and how it is made is its format's to say
(:mod:`converters.formats.register`).  ``model.fp32.onnx`` is always made: OpenVINO reads it too, and every eight-bit
ONNX or OpenVINO file begins from it.
"""

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.preprocessing import inputs
from converters.failures import ToolFailed
from converters.formats import register
from converters.formats.interface import Answers, Films, FloatNetwork, Format
from converters.nets import CamNet
from converters.quantizing import timing
from converters.recipe import Recipe
from converters.workflow.atomic import writing
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.runtimes import registry

Key = tuple[str, str]
"""(runtime, precision)."""


def _name(*, static: bool) -> dict[Key, str]:
    formats = [one for one in register.list_formats().values() if one.static is static]
    return {(one.runtime, precision): name for one in formats for precision, name in one.files.items()}


SOURCE: Key = ("onnxruntime", "fp32")
NAMES: dict[Key, str] = _name(static=False)
"""Every file there can be; OpenVINO reads the float file of ONNX Runtime."""

EXTRAS: dict[Key, str] = _name(static=True)
"""Files for machines that are not here, with ``[export] static``; they are judged in another runtime."""

ROUNDS = 5
TIMES = 12
THREADS = 2
"""How candidates for an INT8 file are timed beside the float one: processes of each, inferences of a process."""


def list_wanted(recipe: Recipe) -> list[Key]:
    """The files that a recipe asks for, the source first."""
    runtimes = recipe.export.runtimes
    asked = [key for key in NAMES if (not runtimes or key[0] in runtimes) and key[1] in recipe.export.precisions]
    return [SOURCE, *(key for key in asked if key != SOURCE)]


def float_file(runtime: str) -> Key:
    """The float file that a runtime reads."""
    own = [key for key in NAMES if key[1] == SOURCE[1] and NAMES[key].endswith(registry.runtime_suffixes(runtime))]
    return own[0] if own else SOURCE


def extras(recipe: Recipe) -> list[Key]:
    """The files for other machines that a recipe asks for."""
    if not recipe.export.static:
        return []
    return [key for key in EXTRAS if key[1] == "fp32" or (choose_runtime(key[0]), key[1]) in list_wanted(recipe)]


def name_of(key: Key) -> str:
    """What a file is called."""
    return {**NAMES, **EXTRAS}[key]


def choose_runtime(runtime: str) -> str:
    """The runtime that runs a file on this machine."""
    known = register.list_formats().get(runtime)
    return runtime if known is None else known.asked_in


def export(
    net: CamNet,
    spec: InputSpec,
    folder: Path,
    keys: Sequence[Key],
    *,
    static: bool = False,
    refused: dict[Key, str] | None = None,
) -> list[Path]:
    """Write every float file of ``keys`` into ``folder``; returns all paths that were written.

    A library that cannot make its file raises :class:`~converters.failures.ToolFailed`, or, where ``refused`` is given,
    leaves its reason there for every file that would follow from it. Without ``model.fp32.onnx`` there is no pack.
    """
    net = net.copy().eval()
    finished, source = getattr(net, "finished", None), folder / NAMES[SOURCE]
    if finished is not None:
        with writing(source) as part:
            copyfile(finished, part)
    module = NamedOutputsOnly(net) if finished is None else None
    given = FloatNetwork(module, noise(spec), spec.name, net.outputs, source)
    made: list[Path] = []
    for one in register.list_formats().values():
        asked = [name for name in one.files if (static if one.static else (one.runtime, name) in keys)]
        if not asked and one.runtime != SOURCE[0]:
            continue
        try:
            made += one.write(given, folder, asked)
        except ToolFailed as error:
            if refused is None or one.runtime == SOURCE[0]:
                raise
            refused.update({(one.runtime, precision): str(error) for precision in asked if _follows(one, precision)})
    return made


def _follows(form: Format, precision: str) -> bool:
    """Whether a file is made of the network by its own format alone, and not of the ONNX file."""
    return precision != "int8" or form.int8_from in form.files.values()


class NamedOutputsOnly(torch.nn.Module):  # type: ignore[misc]
    """A network with the outputs alone that have a name: features that say nothing need no place in its files."""

    def __init__(self, net: CamNet) -> None:
        super().__init__()
        self.net, self.count = net, len(net.outputs)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.net(x)[: self.count])


def files_of(path: Path) -> list[Path]:
    """A model file and its companion files."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def noise(spec: InputSpec, count: int = 2) -> torch.Tensor:
    """Noise films of the model's size, always the same."""
    size = (count, spec.channels, *spec.shape)
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


class Int8Candidates:
    """The INT8 files of one runtime, one a fold: a :class:`converters.quantizing.ptq_search.Candidates`.

    ``floats`` are the folders of the folds' float files, ``films`` the calibration films of each, (N, 1, H, W).
    """

    def __init__(
        self, runtime: str, spec: InputSpec, floats: Sequence[Path], films: Sequence[Films], answers: Answers
    ) -> None:
        self.form, self.spec, self.answers = register.get(runtime), spec, answers
        self.floats, self.films = floats, films

    @property
    def methods(self) -> Sequence[str]:
        """See :class:`converters.quantizing.ptq_search.Candidates`."""
        return self.form.methods

    @property
    def controlled(self) -> bool:
        """See :class:`converters.quantizing.ptq_search.Candidates`."""
        return self.form.controlled

    @property
    def runs_here(self) -> bool:
        """See :class:`converters.quantizing.ptq_search.Candidates`."""
        return not self.form.static

    def make(self, folder: Path, method: str) -> Path:
        """See :class:`converters.quantizing.ptq_search.Candidates`; each fold has a folder of its name."""
        for source, films in zip(self.floats, self.films, strict=True):
            list_rounded(
                self.form.runtime, source, folder / source.name, films=films, method=method, answers=self.answers
            )
        return folder

    def layers(self, folder: Path) -> tuple[int, int]:
        """See :class:`converters.quantizing.ptq_search.Candidates`; those of the first fold's file."""
        return self.form.int8_layers(self._first(folder))

    def times_as_fast(self, folders: Sequence[Path]) -> list[float]:
        """See :class:`converters.quantizing.ptq_search.Candidates`.

        Every file in a process of its own, new in every round, in turns with the float one; the median over rounds.
        """
        if not self.runs_here or not folders:
            return []
        runtime, plain = self.form.asked_in, self.floats[0] / NAMES[float_file(self.form.asked_in)]
        paths = [plain, *map(self._first, folders)]
        asked = [timing.time_file(runtime, path, self.spec, THREADS) for path in paths]
        rounds = [[median(timing.measure_time_apart(one, TIMES)) for one in asked] for _ in range(ROUNDS)]
        return [median(times[0] / times[1 + place] for times in rounds) for place in range(len(folders))]

    def _first(self, folder: Path) -> Path:
        return folder / self.floats[0].name / name_of((self.form.runtime, "int8"))


def list_rounded(runtime: str, floats: Path, folder: Path, films: Films, method: str, answers: Answers) -> list[Path]:
    """Make one runtime's INT8 file from the float files in ``floats``; returns its files.

    Raises :class:`~converters.failures.ToolFailed`, also where no layer is in INT8: it would be so by name only.
    """
    form = register.get(runtime)
    path = form.quantize(floats / form.int8_from, folder / form.files["int8"], films, method, answers)
    if not form.int8_layers(path)[0]:
        raise ToolFailed(runtime, "quantize the file", "not one of its convolutions or products is in INT8")
    return files_of(path)


def outputs(
    path: Path, runtime: str, spec: InputSpec, films: NDArray[np.uint8], names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """(N, H, W) uint8 → what a file gives, (N, …) of each name, film by film, by the box's own runtime module."""
    session = registry.get_runtime(runtime).load(path)
    answers = [session.infer({spec.name: inputs(film[np.newaxis])}) for film in films]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in names}
