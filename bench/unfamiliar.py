"""How well a pack recognises images of another kind, set by set.

Each pack that says what its training images looked like is asked, as the box asks it, for the distance of films that it
never learnt from and of foreign images; all are brought to one size and one JPEG quality first. Printed per set: how
many images of how many groups (patients, clips, photographs), the AUROC of own against foreign with its 95 % interval
(bootstrap over groups), and the share that the pack's limit refuses, with its interval. The own films as they are come
first: there the share is what the limit costs, about 5 % by its making. Then the own films as another clinic's machine
might give them, a mild variation at a time: no more than 10 % of them should be refused. Lung ultrasound is told for
curved and linear probes apart too, and for the breast pack, which knows linear probes only, as it would be were every
curved probe known for one: what a look at the probe could bring at most.

    python -m bench.unfamiliar [--packs DIR] [--data DIR] [--photographs DIR] [--most N] [--file RUNTIME:PRECISION]
                               [--json] [--quick]

The films are those of ../shared/data. Photographs are scikit-image's and scikit-learn's where these are installed, or
those in a folder. Sets that are not here are named and left out. Lateral films and films of other parts of the body are
left out always: there are none to be had.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import foreign_sets, harness
from bench.foreign_sets import Frame
from converters.statistics import intervals
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.typicality import FamiliarityCheck

GOAL: Final = 0.95
MOST_REFUSED: Final = 0.10
"""The share of own films, as they are and mildly varied, that may be refused."""

CHILD: Final = "chest-xray-child"
ADULT: Final = "chest-xray-adult"
BREAST: Final = "breast-ultrasound"
AS_THEY_ARE: Final = "own held-out films, as they are"
MATCHED: Final = "own held-out films, matched"
LUNGS: Final = "lung ultrasound"
CURVED: Final = "convex"
"""The word for a curved probe in the clips' file names."""

Distances = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """The result of one model file of a pack for one set; `auroc` is against its own held-out films, matched.

    A line without an `auroc` is of own films, of which few should be refused.
    """

    pack: str
    file: str
    set: str
    images: int
    groups: int
    refused: float
    between: tuple[float, float] | None
    auroc: float | None = None
    interval: tuple[float, float] | None = None


def main() -> int:
    options = _options()
    packs = [pack for pack in pack_folder.list_packs(options.packs) if pack.manifest.typicality is not None]
    if not packs:
        harness.leave_out(f"No pack in {options.packs} says what its training images looked like.")
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as scratch:
        foreign = dict(_foreign(options, Path(scratch)))
    for pack in packs:
        if pack.name not in (CHILD, ADULT, BREAST):
            print(f"left out: {pack.name}, of whose films none are known here", file=sys.stderr)
            continue
        for artefact in pack.manifest.artefacts:
            asked = options.file in (None, f"{artefact.runtime}:{artefact.precision}")
            if asked and artefact.runtime in registry.list_available_runtimes():
                lines += _judged(pack, artefact.runtime, artefact.precision, options, foreign)
    print(json.dumps([asdict(one) for one in lines]) if options.json else _table(lines))
    return 0


def _options() -> argparse.Namespace:
    parser = harness.parser("unfamiliar", __doc__)
    parser.add_argument("--packs", type=Path, default=pack_folder.shipped_packs_dir(), help="folder of packs")
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--photographs", type=Path, default=None, help="folder of photographs (default: packages')")
    parser.add_argument("--most", type=int, default=None, help="images of a set (default 400; with --quick 20)")
    parser.add_argument("--file", metavar="RUNTIME:PRECISION", help="of each pack this file alone")
    options = parser.parse_args()
    options.most = options.most or (20 if options.quick else 400)
    return options


def _foreign(options: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, list[Frame]]]:
    """Every set of images that is there, by name."""
    data, most = options.data, options.most
    yield "adults' films", foreign_sets.of_films(foreign_sets.adults(data, foreign_sets.held_out(ADULT)), most)
    yield "children's films", foreign_sets.of_films(foreign_sets.children(data, foreign_sets.held_out(CHILD)), most)
    yield "breast ultrasound", foreign_sets.breasts(data, most)
    yield LUNGS, foreign_sets.lungs(data)[:most]
    archive = data / "ct" / "lidc-idri-0001.tar.zst"
    unpacked = harness.find_tool("zstd") and subprocess.run(
        ("tar", "--zstd", "-xf", archive, "-C", scratch), check=False, capture_output=True
    )
    if unpacked and unpacked.returncode == 0:
        yield "CT, one patient", list(foreign_sets.computed(scratch))[:most]
    else:
        print("left out: CT (its archive is not here, or zstd is not installed)", file=sys.stderr)
    yield "MRI of necks", foreign_sets.resonance(data)
    photographs = foreign_sets.photographs(options.photographs)
    if photographs:
        yield "photographs", photographs
    else:
        print("left out: photographs (pip install scikit-image, or name a folder)", file=sys.stderr)


def _judged(
    pack: Pack, runtime: str, precision: str, options: argparse.Namespace, foreign: Mapping[str, Sequence[Frame]]
) -> Iterator[Line]:
    """One line for each set, the pack's own first."""
    familiar = FamiliarityCheck.of(pack, runtime, precision)
    if familiar is None:
        return
    module = registry.get_runtime(runtime)
    session = module.load(pack.artefact(runtime, precision), module.Config(threads=2))
    own = {CHILD: "children's films", ADULT: "adults' films", BREAST: "breast ultrasound"}[pack.name]
    films = _own_films(pack.name, own, options, foreign)

    def line(name: str, frames: Sequence[Frame], away: Distances, home: Distances | None = None) -> Line:
        harness.progress(f"{pack.name}, {runtime} {precision}: {name}")
        groups = [one.group for one in frames]
        beyond = away > familiar.limit
        between = intervals.rate_interval(beyond, groups)
        facts = (
            pack.name,
            f"{runtime} {precision}",
            name,
            len(frames),
            len(set(groups)),
            float(beyond.mean()),
            between,
        )
        if home is None:
            return Line(*facts)
        labels = np.array([0] * len(home) + [1] * len(away), np.int64)
        scores = np.concatenate([home, away])
        # An own film and a variation of it show one patient but are two kinds, so the bootstrap draws them separately.
        named = [f"own {one.group}" for one in films] + [f"foreign {group}" for group in groups]
        return Line(*facts, intervals.auc(labels, scores), intervals.auc_interval(labels, scores, named))

    def asked(frames: Sequence[Frame]) -> Distances:
        return _distances(pack, session, familiar, frames)

    yield line(AS_THEY_ARE, films, asked(films))
    for name, how in foreign_sets.MILD.items():
        yield line(f"own films, {name}", films, asked(foreign_sets.turned(foreign_sets.mildly(how), films)))
    alike = foreign_sets.turned(foreign_sets.matched, films)
    home = asked(alike)
    yield line(MATCHED, alike, home)
    sets = {name: frames for name, frames in foreign.items() if name != own}
    sets |= {name: foreign_sets.turned(how, films) for name, how in foreign_sets.TURNS.items()}
    for name, frames in sets.items():
        away = asked(foreign_sets.turned(foreign_sets.matched, frames))
        yield line(name, frames, away, home)
        if name == LUNGS:
            probes = foreign_sets.probes(options.data)
            for part, some, far in _by_probe(frames, away, probes, bound=pack.name == BREAST):
                yield line(part, some, far, home)


def _by_probe(
    frames: Sequence[Frame], away: Distances, probes: Mapping[str, str], *, bound: bool
) -> Iterator[tuple[str, Sequence[Frame], Distances]]:
    """(name, frames, distances) of the clips of each kind of probe.

    With *bound* also of all clips, those of curved probes farther than anything: as if each had been known for one.
    """
    curved = np.array([probes[one.group] == CURVED for one in frames], np.bool_)
    for kind, which in (("curved", curved), ("linear", ~curved)):
        if which.any():
            yield f"{LUNGS}, {kind} probe", [frames[int(at)] for at in np.flatnonzero(which)], away[which]
    if bound:
        yield f"{LUNGS}, were every curved probe known", frames, np.where(curved, np.inf, away)


def _own_films(
    pack: str, own: str, options: argparse.Namespace, foreign: Mapping[str, Sequence[Frame]]
) -> Sequence[Frame]:
    """Films that the pack was not trained on: of BUSI only its test part; the other sets are test parts already."""
    if pack != BREAST:
        return foreign[own]
    names = {Path(name).name for name in foreign_sets.held_out(BREAST)}
    every = foreign_sets.breasts(options.data, sys.maxsize)
    return [one for one in every if one.group in names][: options.most]


def _distances(pack: Pack, session: Session, familiar: FamiliarityCheck, frames: Sequence[Frame]) -> Distances:
    """(N,) distances, with the pack's own preprocessing and runtime."""
    spec, features = pack.manifest.input, pack.manifest.output.features or ""
    given = (to_model_input(one.grey, spec) for one in frames)
    features_of = (session.infer({spec.name: film})[features].reshape(-1) for film in given)
    return np.array([familiar.model.distance(one) for one in features_of])


def _table(lines: Sequence[Line]) -> str:
    """For a terminal, and for docs/decisions/unfamiliar.md: lines of a Markdown table."""
    rows = ["| pack | file | set | images (groups) | AUROC (95 %) | refused (95 %) | goal |", "|" + " --- |" * 7]
    for one in lines:
        area, reached = "–", one.refused <= MOST_REFUSED
        if one.auroc is not None:
            between = f" ({one.interval[0]:.3f}–{one.interval[1]:.3f})" if one.interval else ""
            area, reached = f"{one.auroc:.3f}{between}", one.auroc >= GOAL
        refused = f"{one.refused:.1%}" + (f" ({one.between[0]:.1%}–{one.between[1]:.1%})" if one.between else "")
        word = "reached" if reached else "missed"
        cells = (one.pack, one.file, one.set, f"{one.images} ({one.groups})", area, refused, word)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
