"""A repository of the box's software: each version for one kind of machine, and the ring of boxes that may have it.

A version begins with one box, goes on with a share of all, and ends with all; each step signs the same file anew.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from tuf.api.metadata import TargetFile

from converters.failures import AlreadyPublished, RepositoryUnusable
from converters.publishing import signed_state, tuf_keys
from converters.publishing.signed_state import DAYS, State
from firmware_app.appliance.software_offers import VERSION, Ring, SoftwareIndex, SoftwareOffer, hide_box_id
from firmware_app.packs.manifest import file_sha256

_KINDS: Final = (
    (re.compile(rf"lantern-(?P<version>{VERSION})\.raucb", re.ASCII), "lantern-{arch}", b"hsqs", "a RAUC bundle"),
    (
        re.compile(rf"lantern-box_(?P<version>{VERSION})_(?P<arch>[a-z0-9]+)\.deb", re.ASCII),
        "debian-{arch}",
        b"!<arch>\n",
        "a Debian package",
    ),
)
"""The file's name, the kind of machine, how the file begins (squashfs, ar), what it is."""
_NOBODY: Final = -1
_IMAGE: Final = "x86_64"
"""The processor of a flashed box: RAUC's manifest names it (installation/disk_image.py), the file's name does not."""


def publish(
    file: Path | None,
    version: str,
    ring: Ring | None,
    folder: Path,
    keys: Path,
    days: int = DAYS,
    passphrase: bytes | None = None,
) -> State[SoftwareIndex]:
    """Add a file to the repository in ``folder``, for the boxes of *ring*; without one, give *version* another ring.

    Boxes that were named before stay in; with a *ring* of None nobody who has it not yet gets it any more.
    Raises a :class:`~converters.failures.ConverterError`; the repository is then as it was.
    """
    offered = describe(file) if file is not None else None
    with signed_state.publication(folder, SoftwareIndex(), keys, passphrase) as publication:
        index = publication.state.index
        if offered is not None and file is not None:
            same = [software_offer for software_offer in index.software if software_offer.target == offered.target]
            if same and same[0].sha256 != offered.sha256:
                raise AlreadyPublished(offered.machine, offered.version)
            index = _replace(index, offered)
            publication.put(file, offered.target, offered.sha256)
            version = offered.version
        if all(software_offer.version != version for software_offer in index.software):
            raise RepositoryUnusable(str(folder), f"version {version} is not in it; give its file")
        software = tuple(
            _within(software_offer, ring) if software_offer.version == version else software_offer
            for software_offer in index.software
        )
        index = index.model_copy(update={"software": software})
        return publication.sign(index, _targets(index), days)


def describe(file: Path) -> SoftwareOffer:
    """A file as an offer; its name says version and kind of machine.  Raises `RepositoryUnusable`."""
    for pattern, machine, magic, what in _KINDS:
        if found := pattern.fullmatch(file.name):
            with file.open("rb") as handle:
                if handle.read(len(magic)) != magic:
                    raise RepositoryUnusable(str(file), f"it is not {what}, whatever its name says")
            arch = found.groupdict().get("arch", _IMAGE)
            about = {
                "version": found["version"],
                "machine": machine.format(arch=arch),
                "file": file.name,
                "sha256": file_sha256(file),
                "bytes": file.stat().st_size,
            }
            try:
                return SoftwareOffer.model_validate(about)
            except ValidationError as error:
                raise RepositoryUnusable(str(file), error.errors(include_url=False)[0]["msg"]) from error
    raise RepositoryUnusable(str(file), "it is called neither lantern-VERSION.raucb nor lantern-box_VERSION_ARCH.deb")


def _replace(index: SoftwareIndex, offered: SoftwareOffer) -> SoftwareIndex:
    others = [software_offer for software_offer in index.software if software_offer.target != offered.target]
    before = next(
        (software_offer.ring for software_offer in index.software if software_offer.target == offered.target), Ring()
    )
    return index.model_copy(update={"software": (*others, offered.model_copy(update={"ring": before}))})


def _within(offer: SoftwareOffer, ring: Ring | None) -> SoftwareOffer:
    named = (*offer.ring.boxes, *ring.boxes) if ring else ()
    return offer.model_copy(
        update={"ring": Ring(boxes=tuple(dict.fromkeys(named)), percent=ring.percent if ring else 0)}
    )


def _targets(index: SoftwareIndex) -> dict[str, TargetFile]:
    return {
        software_offer.target: TargetFile(
            software_offer.bytes, {"sha256": software_offer.sha256}, software_offer.target
        )
        for software_offer in index.software
    }


# --- the command --------------------------------------------------------------------------------------------------


def _ring(text: str) -> int:
    """``one`` is no share, ``all`` is 100 percent, ``none`` less than no share."""
    known = {"none": _NOBODY, "one": 0, "all": 100}
    if text not in known and not 0 <= int(text.removesuffix("%")) <= 100:
        raise ValueError(text)
    return known[text] if text in known else int(text.removesuffix("%"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``lantern-convert publish-software`` takes."""
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        help="lantern-VERSION.raucb or lantern-box_VERSION_ARCH.deb; without one, --version names what is out already",
    )
    parser.add_argument("--version", default="", help="whose ring changes")
    parser.add_argument(
        "--ring",
        type=_ring,
        required=True,
        metavar="one|5%|all|none",
        help="who may have it: named boxes alone, a share of all, all; none: nobody more",
    )
    parser.add_argument("--box", action="append", default=[], metavar="ID", help="a box that is named; may be repeated")
    parser.add_argument("--hide", action="store_true", help="write the named boxes as hashes")
    parser.add_argument("--repository", type=Path, required=True, help="the folder that boxes read")
    parser.add_argument(
        "--keys",
        type=Path,
        required=True,
        help="the publisher's keys of software, made by lantern-convert keys: not those of packs",
    )
    parser.add_argument(
        "--days", type=int, default=DAYS, help="how long the signatures are good (default: %(default)s)"
    )
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="its first line opens the keys")


def command(options: argparse.Namespace) -> int:
    """Publish, and print what is now offered to which boxes."""
    passphrase = tuf_keys.passphrase_of(options.passphrase_file)
    version = describe(options.file).version if options.file else options.version
    boxes = tuple(hide_box_id(version, box) if options.hide else box for box in options.box)
    try:
        ring = Ring(boxes=boxes, percent=options.ring) if options.ring != _NOBODY else None
    except ValidationError as error:
        raise RepositoryUnusable(" ".join(options.box), error.errors(include_url=False)[0]["msg"]) from error
    state = publish(
        options.file,
        version,
        ring,
        folder=options.repository,
        keys=options.keys,
        days=options.days,
        passphrase=passphrase,
    )
    for offer in state.index.software:
        named = f" and {len(offer.ring.boxes)} named" if offer.ring.boxes else ""
        print(f"{offer.machine} {offer.version}: {offer.ring.percent} %{named}")
    print(f"{options.repository} is good until {state.expires:%Y-%m-%d}", file=sys.stderr)
    return 0
