"""How long one film takes in every model file of a pack, beside its PyTorch original and a common network.

Every file of each pack in its runtime, on two threads, one film at a time; beside it, in PyTorch eager and FP32, the
EfficientNet-Lite0 that teaches our students and a ResNet-50 of the same input; beside a pack of lesions, the network
that it is made from. All have random weights: only their time is asked. Each variant is a process of its own, new in
every round, and gives the median of its inferences; the rounds take turns, so all variants see the same weather. No
film is read and none is decoded: the input is noise.

Beside OpenVINO's files stands what its own `benchmark_app` prints for them. A second table has the same processor
without AVX-512 and VNNI, as an older one (`ONEDNN_MAX_CPU_ISA=AVX2`): OpenVINO and PyTorch obey it; ONNX Runtime and
LiteRT choose their own kernels, so they are not in it. A loaded machine is refused.

    python -m bench.models [--rounds N] [--times N] [--packs DIR] [--loaded] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import harness, one_model
from bench.harness import Result, Variant
from bench.one_model import RESNET
from bench.outcome import Fact, Goal, Kind, Row, Table
from converters.quantizing.timing import PYTORCH
from firmware_app.packs.errors import PackArtefactMissing, PackManifestInvalid
from firmware_app.packs.pack_folder import Pack, shipped_packs_dir
from firmware_app.packs.runtimes import registry

THREADS: Final = 2
MOST_LOAD: Final = 0.5
"""Of the last minute, before the first round: above that another program takes part of the two cores."""
OLDER: Final = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
OBEYS_ONEDNN: Final = "openvino"
APP: Final = "benchmark_app"
TEACHER: Final = "lite0"
PYRAMID, OF_ORGAN = "pyramid", "pyramid-organ"
PEERS: Final = {
    TEACHER: "PyTorch eager, EfficientNet-Lite0 FP32",
    RESNET: "PyTorch eager, ResNet-50 FP32",
    PYRAMID: "PyTorch eager, the same network FP32",
    OF_ORGAN: "PyTorch eager, the same network FP32",
}
WANTED: Final = {TEACHER: 10.0, RESNET: 40.0, PYRAMID: 5.0, OF_ORGAN: 5.0}
"""How many times as fast as each the quickest INT8 file should be."""
MEGABYTE: Final = 1e6

Size = tuple[int, int]


@dataclass(frozen=True)
class File:
    """One model file of a pack in one runtime; ``bytes`` includes the files that belong to it."""

    pack: str
    runtime: str
    precision: str
    path: Path
    size: Size
    bytes: int
    peers: tuple[str, ...] = (TEACHER, RESNET)

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.precision}"


def main() -> None:
    options = _options()
    load = os.getloadavg()[0]
    if load > MOST_LOAD and not (options.loaded or options.quick):
        harness.give_up(
            f"The machine is busy (load {load:.1f}, at most {MOST_LOAD}): wait until it is quiet, or say --loaded."
        )
    if importlib.util.find_spec("torch") is None:
        harness.leave_out("PyTorch is not installed (pip install 'lantern-box[convert]'; make bench-models does)")
    packs = [files for folder in options.packs for files in _packs(folder)]
    if not packs:
        harness.give_up(f"There is no pack in {', '.join(map(str, options.packs))}.")
    files = [file for pack in packs for file in pack]
    peers = list(dict.fromkeys((name, file.size) for file in files for name in file.peers))
    again = [file for file in files if file.runtime == OBEYS_ONEDNN]
    asked: dict[tuple[str, Path | str, Size], Variant] = {}
    for file in files:
        asked[file.name, file.path, file.size] = _make_file_variant(options.times, file)
    for file in again:
        asked[f"{file.name}, older", file.path, file.size] = _make_file_variant(options.times, file, OLDER)
        asked[f"{file.name}, {APP}", file.path, file.size] = _by_app(options.times, file)
    for name, size in peers:
        asked[name, "", size] = _make_peer_variant(options.times, name, size)
        asked[f"{name}, older", "", size] = _make_peer_variant(options.times, name, size, OLDER)
    results = dict(zip(asked, harness.alternate(list(asked.values()), options.rounds), strict=True))
    tables: list[Table] = []
    goals: list[Goal] = []
    for pack in packs:
        size = pack[0].size
        own = {file: results[file.name, file.path, size] for file in pack}
        beside = {name: results[name, "", size] for name in pack[0].peers}
        mine = [file for file in pack if file in again]
        by_app = [
            _row(f"{file.name}, by {APP}", results[f"{file.name}, {APP}", file.path, size], "peer") for file in mine
        ]
        older = {file: results[f"{file.name}, older", file.path, size] for file in mine}
        older_peers = {name: results[f"{name}, older", "", size] for name in pack[0].peers}
        tables += _tables(own, beside, by_app, older, older_peers)
        goals += _goals(own, beside)
    harness.publish(options, "Model files", tables, goals)


def _options() -> argparse.Namespace:
    parser = harness.parser(rounds=(12, 2, "rounds that count"), times=(40, 5, "inferences a round"))
    parser.add_argument(
        "--packs", type=Path, nargs="+", default=[shipped_packs_dir()], help="folders of packs (default: the shipped)"
    )
    parser.add_argument("--loaded", action="store_true", help="measure though the machine is busy")
    return harness.parse(parser)


def _packs(folder: Path) -> Iterator[list[File]]:
    """The files of each pack in *folder* that a runtime here can run, pack by pack."""
    for path in sorted(one for one in folder.iterdir() if (one / "manifest.json").is_file()):
        try:
            pack = Pack.load(path)
        except PackManifestInvalid as error:
            harness.give_up(str(error))
        spec = pack.manifest.input
        files, peers = [], _peers_of(pack)
        for runtime in registry.list_available_runtimes():
            for precision in ("fp32", "fp16", "int8"):
                try:
                    file, described = pack.artefact(runtime, precision), pack.find_artefact(runtime, precision)
                except PackArtefactMissing:
                    continue
                weight = described.bytes + sum(one.bytes for one in described.files)
                files.append(File(pack.name, runtime, precision, file, (spec.height, spec.width), weight, peers))
        if files:
            yield files


def _peers_of(pack: Pack) -> tuple[str, ...]:
    if pack.manifest.task != "lesions":
        return (TEACHER, RESNET)
    return (OF_ORGAN if pack.manifest.section.output.organ else PYRAMID,)


def _make_file_variant(times: int, file: File, environment: Mapping[str, str] | None = None) -> Variant:
    run = partial(_median, file.runtime, file.path, file.size, times, environment)
    return Variant(f"{file.pack}: {file.name}", _version(file.runtime), run)


def _by_app(times: int, file: File) -> Variant:
    run = partial(one_model.by_benchmark_app, file.path, THREADS, times)
    return Variant(f"{file.pack}: {file.name}, by {APP}", _version(file.runtime), run, "peer")


def _make_peer_variant(times: int, name: str, size: Size, environment: Mapping[str, str] | None = None) -> Variant:
    run = partial(_median, PYTORCH, name, size, times, environment)
    return Variant(PEERS[name], _version(PYTORCH), run, "peer")


def _median(runtime: str, model: str | Path, size: Size, times: int, environment: Mapping[str, str] | None) -> float:
    return statistics.median(one_model.measure(runtime, model, size, THREADS, times, environment))


def _version(runtime: str) -> str:
    if runtime == PYTORCH:
        return f"torch {version('torch')}"
    return f"{runtime} {registry.installed_version(runtime)}"


def _tables(
    files: Mapping[File, Result],
    peers: Mapping[str, Result],
    by_app: Sequence[Row],
    older: Mapping[File, Result],
    older_peers: Mapping[str, Result],
) -> Iterator[Table]:
    """Times, ratios and sizes of one pack; *by_app*: what OpenVINO's own program measures; *older*: the same without
    AVX-512 and VNNI."""
    first = next(iter(files))
    facts: dict[str, Fact] = {"input": f"{first.size[0]} x {first.size[1]} px", "threads": THREADS}
    yield Table(f"{first.pack}: one film", "ms", (*_rows(files, peers), *by_app), facts)
    if ratios := _ratios(files, peers):
        yield Table.aside(f"{first.pack}: times as fast", "×", ratios)
    # OpenVINO reads ONNX Runtime's float file too: each file is listed once.
    sizes = {file.path: Row(file.path.name, (file.bytes / MEGABYTE,)) for file in files}
    yield Table.aside(f"{first.pack}: size on disk", "MB", sizes.values())
    if older:
        title = f"{first.pack}: one film on a processor with AVX2 only"
        yield Table(title, "ms", tuple(_rows(older, older_peers)), plotted=False)
    if ratios := _ratios(older, older_peers):
        yield Table.aside(f"{first.pack}: times as fast there", "×", ratios)


def _rows(files: Mapping[File, Result], peers: Mapping[str, Result]) -> Iterator[Row]:
    yield from (_row(PEERS[name], result, "peer") for name, result in peers.items())
    yield from (_row(file.name, result, "lantern") for file, result in files.items())


def _row(name: str, result: Result, kind: Kind) -> Row:
    return Row(name, tuple(result.seconds), kind, result.version)


def _ratios(files: Mapping[File, Result], peers: Mapping[str, Result]) -> list[Row]:
    """The ratios that are quoted: each INT8 file against FP32 in its runtime, the fastest against all others."""
    best, plain_best = _quickest(files, "int8"), _quickest(files, "fp32")
    if best is None:
        return []
    pairs = [
        (f"{file.runtime} int8 against its fp32", plain, result)
        for file, result in files.items()
        if file.precision == "int8" and (plain := _find_result(files, file.runtime, "fp32")) is not None
    ]
    if plain_best is not None:
        name = f"{best.name} against {plain_best.name}, each the quickest"
        pairs.append((name, files[plain_best], files[best]))
    pairs += [(f"{best.name} against {PEERS[name]}", result, files[best]) for name, result in peers.items()]
    return [Row(name, _by_round(slow, quick)) for name, slow, quick in pairs]


def _goals(files: Mapping[File, Result], peers: Mapping[str, Result]) -> Iterator[Goal]:
    best = _quickest(files, "int8")
    if best is None:
        return
    quick = files[best].median
    quickest = f"{best.pack}, {best.name}"
    for name, result in peers.items():
        yield Goal(f"{quickest}, against {PEERS[name]}", result.median / quick, WANTED[name], "×", at_least=True)
    if TEACHER not in peers:
        return
    plain = _find_result(files, best.runtime, "fp32")
    if plain is not None:
        yield Goal(f"{quickest}, against FP32 in the same runtime", plain.median / quick, 2.0, "×", at_least=True)
    for path, weight in {file.path: file.bytes for file in files if file.precision == "int8"}.items():
        yield Goal(f"{best.pack}, size of {path.name}", weight / MEGABYTE, 2.0, "MB")


def _quickest(files: Mapping[File, Result], precision: str) -> File | None:
    candidates = [file for file in files if file.precision == precision]
    return min(candidates, key=lambda file: files[file].median) if candidates else None


def _find_result(files: Mapping[File, Result], runtime: str, precision: str) -> Result | None:
    return next(
        (result for file, result in files.items() if (file.runtime, file.precision) == (runtime, precision)), None
    )


def _by_round(slow: Result, quick: Result) -> tuple[float, ...]:
    return tuple(one / other for one, other in zip(slow.seconds, quick.seconds, strict=True))


if __name__ == "__main__":
    main()
