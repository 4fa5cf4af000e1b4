"""The inference child: keeps one warm session per pack and turns a tensor into findings, lesions and heat maps.

``python -m firmware_app.reading.children.inference_child FD PARENT MEMORY_MB CPU_SECONDS``.  Jobs are ``{job: load,
folder, runtime, precision, settings}`` and ``{job: infer, pack, instance, frames, rows, columns, box, display}`` with
the tensors of one or more frames and, where known, the cells of them that lie beside the anatomy and the same tensors
with marks painted over.  The parent decides which runtime and precision to try.

A model reads images only after it has answered its pack's golden cases correctly in this process.  An image that
looks unlike the pack's training images gets no number (docs/decisions/unfamiliar.md), nor does one of which the model
is not sure (docs/decisions/unsure-films.md).  A heat map is a small grey picture with the image's aspect, for a viewer
to lay over the image.
"""

from __future__ import annotations

import math
import socket
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.core import child_loop
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import ImagingError, RuntimeFault
from firmware_app.core.records import Lesion
from firmware_app.imaging import display, outside_anatomy
from firmware_app.imaging.lesion_description import describe_lesions
from firmware_app.imaging.pixel_size import Scale
from firmware_app.packs.errors import InferenceFailed, PackError
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.tasks import interface
from firmware_app.packs.tasks.interface import Answer, Frame, check_answer
from firmware_app.packs.typicality import FamiliarityCheck
from firmware_app.reading.children import golden_cases

HEAT_MAP_SIDE_PX: Final = 256


Box = tuple[int, int, int, int]


def render_heat_map(
    strengths: NDArray[np.float32], rows: int, columns: int, box: Box | None = None
) -> NDArray[np.uint8]:
    """(h, w) in [0, 1] → (H, W) uint8 with the aspect of a *rows* × *columns* film, its longest side 256 pixels.

    The model saw the whole film resized to its input, so the map is stretched back over the whole film.  With *box*
    (x0, y0, x1, y1 in pixels of the film) it saw only that part: the map covers the box and is 0 around it.
    A letterbox reaches beyond the film; what the map holds for its bars is not drawn.
    """
    scale = HEAT_MAP_SIDE_PX / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    x0, y0, x1, y1 = (round(side * scale) for side in box) if box is not None else (0, 0, *size)
    inner = (max(1, x1 - x0), max(1, y1 - y0))
    image = Image.fromarray(strengths.astype(np.float32)).resize(inner, Image.Resampling.BILINEAR)
    if inner != size:
        whole = Image.new("F", size)
        whole.paste(image, (x0, y0))
        image = whole
    return np.asarray(np.rint(np.clip(np.asarray(image), 0.0, 1.0) * 255.0), dtype=np.uint8)


def write_heat_map(strengths: NDArray[np.float32], rows: int, columns: int, path: Path, box: Box | None = None) -> None:
    """Save `render_heat_map` as an 8-bit PNG, whole or not at all."""
    display.save_png(Image.fromarray(render_heat_map(strengths, rows, columns, box)), path)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A warm session; `familiar` is None for a pack without statistics of its training images."""

    manifest: Manifest
    session: Session
    familiar: FamiliarityCheck | None = None

    def infer(self, tensor: NDArray[np.float32], frame: Frame) -> tuple[Answer, float]:
        """(1, C, H, W) float32 tensor of *frame*, or (1, C, D, H, W) of a volume → the task's answer, and the distance
        from the training images.

        The distance is 0 without statistics of those.  Raises `InferenceFailed`.
        """
        spec = self.manifest.input
        if tensor.shape != (1, spec.channels, *spec.shape) or tensor.dtype != np.float32:
            raise self.make_error(f"a tensor of shape {tensor.shape}")
        outputs = self.session.infer({spec.name: tensor})
        try:
            answer = check_answer(self.manifest.task_module.answer(self.manifest.section, outputs, frame), frame)
        except ValueError as error:
            raise self.make_error(str(error)) from error
        if self.familiar is None:
            return answer, 0.0
        features = outputs.get(self.manifest.output.features or "")
        distance = self.familiar.model.distance(features.reshape(-1)) if features is not None else math.inf
        if not math.isfinite(distance):  # a fault of the runtime, which must not be taken for one of the image
            raise self.make_error("it gives no feature vector")
        return answer, distance

    def is_unsure(self, answer: Answer, between: Sequence[float] | None) -> bool:
        """Whether *answer*, for a film or a clip, lies where the pack gives no number, or contradicts itself.

        *between*: from where to where that is on this machine; ``None`` for the pack's own limits.
        """
        abstain, probability = self.manifest.abstain, answer.findings[0].probability
        if abstain is None or between is None:
            return answer.unsure or (abstain is not None and abstain.is_unsure(probability))
        low, high = between
        return answer.unsure or low <= probability <= high

    def warm_up(self) -> None:
        """Infer an empty picture: the first inference is slow, and shows whether the model runs at all."""
        nothing = golden_cases.make_blank_frame(self.manifest)
        self.infer(nothing.tensor, nothing.frame)

    def make_error(self, detail: str) -> InferenceFailed:
        """An error of this model, without naming the runtime, which the parent knows."""
        return InferenceFailed(pack=self.manifest.name, runtime="-", detail=detail)


class LoadedModels:
    """The warm sessions, by pack name."""

    def __init__(self) -> None:
        self._loaded: dict[str, LoadedModel] = {}

    def handle_job(self, job: ChildMessage) -> child_loop.Answers:
        """The one answer to a job."""
        if job.header["job"] == "load":
            yield self._load(job.header)
        else:
            yield self._infer(job)

    def _load(self, job: Any) -> ChildMessage:
        begun = time.perf_counter()
        try:
            pack = Pack.load(Path(str(job["folder"])))
            path = pack.artefact(job["runtime"], job["precision"])
            runtime = registry.get_runtime(job["runtime"])
            session = runtime.load(path, runtime.Config(**job["settings"]))
            loaded = LoadedModel(pack.manifest, session, FamiliarityCheck.load(pack, job["runtime"], job["precision"]))
            loaded.warm_up()
            golden_cases.check_golden_cases(pack, ExecutionVariant(job["runtime"], job["precision"]), session)
        except (PackError, RuntimeFault, ImagingError) as error:
            return child_loop.make_refusal_answer(error)
        except ValueError as error:
            name = Path(str(job["folder"])).name
            return child_loop.make_refusal_answer(InferenceFailed(pack=name, runtime=job["runtime"], detail=str(error)))
        self._loaded[pack.name] = loaded
        return ChildMessage({"loaded": pack.name, "load_ms": 1e3 * (time.perf_counter() - begun)})

    def _infer(self, job: ChildMessage) -> ChildMessage:
        loaded = self._loaded[str(job.header["pack"])]
        try:
            tensors = np.asarray(job.arrays["input"])
            seen = [loaded.infer(one[np.newaxis], frame) for one, frame in zip(tensors, _list_frames(job), strict=True)]
            distances = [distance for _, distance in seen]
            limit = loaded.familiar.limit if loaded.familiar is not None else math.inf
            counted = interface.select_familiar(distances, limit)
            if not counted:
                return ChildMessage({"unfamiliar": {"distance": statistics.median(distances), "limit": limit}})
            answers = [_measure_lesions(seen[place][0], tensors[place], job) for place in counted]
            whole = loaded.manifest.task_module.together(loaded.manifest.section, answers)
            if loaded.is_unsure(whole, job.header.get("unsure_between")):
                return ChildMessage({"unsure": whole.findings[0].probability})
            maps = {code: answers[at].maps[code] for code, at in whole.strongest.items() if code in answers[at].maps}
            strongest = {code: counted[at] for code, at in whole.strongest.items()}
            shares = _measure_outside_shares(loaded, maps, strongest, job)
        except (RuntimeFault, ValueError) as error:
            # Not bound to a name: the error's traceback holds this stack frame, so the two would keep each other, and
            # the tensors, in memory.
            return child_loop.make_refusal_answer(_to_fault(loaded, error), sound=_is_sound(loaded))
        return ChildMessage(
            {
                "findings": [asdict(finding) for finding in whole.findings],
                "lesions": [_compact_lesion(lesion) for lesion in whole.lesions],
                "counted": counted,
                "strongest": strongest,
                "marked": _write_heat_maps(maps, job),
                "beside": shares,
                "distance": statistics.median(distances) if loaded.familiar is not None else None,
            }
        )


def _list_frames(job: ChildMessage) -> list[Frame]:
    """The part of the original that each tensor of a job shows."""
    head, box = job.header, job.header.get("box")
    return [
        Frame(int(head["rows"]), int(head["columns"]), int(number), tuple(box) if box else None, str(head["instance"]))
        for number in head["frames"]
    ]


def _measure_lesions(answer: Answer, tensor: NDArray[np.float32], job: ChildMessage) -> Answer:
    """The *answer* for one frame, (C, H, W), with what can be computed of its lesions."""
    if not answer.lesions or tensor.ndim != 3:
        return answer
    head, scales = job.header, [Scale(**scale) for scale in job.header["scales"]]
    size = (int(head["columns"]), int(head["rows"]))
    greys, view, aspect = tensor.mean(axis=0), head.get("box"), float(head["aspect"])
    return replace(
        answer, lesions=describe_lesions(answer.lesions, greys, size, view=view, scales=scales, aspect=aspect)
    )


def _compact_lesion(lesion: Lesion) -> dict[str, Any]:
    """A lesion without what is not known of it: a clip may have thousands, and a message has a limit."""
    return {name: value for name, value in asdict(lesion).items() if value not in (None, (), {})}


def _write_heat_maps(maps: Mapping[str, NDArray[np.float32]], job: ChildMessage) -> bool:
    """Write the heat map of each finding, from the frame in which it is strongest.

    False when they are not wanted, or the disk refuses them; the findings are not affected.
    """
    if not job.header["display"]:
        return False
    box = job.header.get("box")
    folder, rows, columns = Path(str(job.header["display"])), int(job.header["rows"]), int(job.header["columns"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for code, strengths in maps.items():
            write_heat_map(strengths, rows, columns, folder / f"{code}.png", box)
    except OSError:
        return False
    return True


def _measure_outside_shares(
    loaded: LoadedModel, maps: Mapping[str, NDArray[np.float32]], strongest: Mapping[str, int], job: ChildMessage
) -> Mapping[str, float]:
    """The share of each map's evidence that no tissue gave (`outside_anatomy.outside_share`); empty where that is not
    known.

    Raises `RuntimeFault`.
    """
    arrays = {name: np.asarray(array) for name, array in job.arrays.items()}
    cells, unmarked = arrays.get("beside"), arrays.get("unmarked")
    if cells is None and unmarked is None:
        return {}
    without: dict[int, Mapping[str, NDArray[np.float32]]] = {}
    if unmarked is not None:
        frames = _list_frames(job)
        for at in {strongest[code] for code in maps}:
            if not np.array_equal(unmarked[at], arrays["input"][at]):
                without[at] = loaded.infer(unmarked[at][np.newaxis], frames[at])[0].maps
    shares = {}
    for code, strengths in maps.items():
        at = strongest[code]
        left = without[at].get(code, np.zeros_like(strengths)) if at in without else None
        shares[code] = outside_anatomy.outside_share(strengths, cells[at] if cells is not None else None, left)
    return shares


def _to_fault(loaded: LoadedModel, error: RuntimeFault | ValueError) -> RuntimeFault:
    return error if isinstance(error, RuntimeFault) else loaded.make_error(str(error))


def _is_sound(loaded: LoadedModel) -> bool:
    """Whether the session still answers for an empty film; then the image was at fault, otherwise the runtime."""
    try:
        loaded.warm_up()
    except (RuntimeFault, ValueError):
        return False
    return True


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    child_loop.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, LoadedModels().handle_job, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
