"""A repository of packs: finished packs in a signed folder (`signed_state`), which boxes install from."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError
from tuf.api.metadata import TargetFile

from converters.failures import AlreadyPublished, RepositoryUnusable
from converters.publishing import signed_state, tuf_keys
from converters.publishing.signed_state import DAYS, State
from firmware_app.packs import pack_folder
from firmware_app.packs.manifest import file_sha256
from firmware_app.packs.offers import PackOffer, RepositoryIndex, parse_version
from firmware_app.packs.pack_folder import Pack


def publish(
    pack: Path | None, folder: Path, keys: Path, days: int = DAYS, passphrase: bytes | None = None
) -> State[RepositoryIndex]:
    """Add a finished pack to the repository in ``folder``, or without one sign anew what is there.

    The signatures are good for ``days``. The same pack once more is no error; other files under a version that is out
    already are. Raises a :class:`~converters.failures.ConverterError` or a
    :class:`~firmware_app.core.errors.PackError`; the repository is then as it was.
    """
    offered = describe(pack) if pack is not None else None
    with signed_state.publication(folder, RepositoryIndex(), keys, passphrase) as publication:
        index = _with(publication.state.index, offered)
        if offered is not None and pack is not None:
            for file in offered.files:
                publication.put(pack / file.path, offered.target(file), file.sha256)
        return publication.sign(index, _targets(index), days)


def describe(folder: Path) -> PackOffer:
    """A pack folder as an offer, after it was compared with its manifest and its SHA256SUMS."""
    pack = Pack.load(folder.resolve())
    pack.verify()
    pack_folder.check_sums(pack.folder)
    files = [
        {"path": path, "sha256": file_sha256(pack.folder / path), "bytes": (pack.folder / path).stat().st_size}
        for path in pack_folder.list_files(pack.folder)
    ]
    try:
        return PackOffer.model_validate(
            {
                "name": pack.name,
                "version": pack.manifest.version,
                "title": pack.manifest.title.model_dump(),
                "files": files,
            }
        )
    except ValidationError as error:
        raise RepositoryUnusable(str(folder), error.errors(include_url=False)[0]["msg"]) from error


def _with(index: RepositoryIndex, offer: PackOffer | None) -> RepositoryIndex:
    if offer is None:
        return index
    same = [pack for pack in index.packs if (pack.name, pack.version) == (offer.name, offer.version)]
    if same and same[0].files != offer.files:
        raise AlreadyPublished(offer.name, offer.version)
    others = [pack for pack in index.packs if pack not in same]
    packs = sorted([*others, offer], key=lambda one: (one.name, parse_version(one.version)))
    return index.model_copy(update={"packs": tuple(packs)})


def _targets(index: RepositoryIndex) -> dict[str, TargetFile]:
    targets = {}
    for offer in index.packs:
        custom = {"custom": {"pack": offer.name, "version": offer.version}}
        for file in offer.files:
            path = offer.target(file)
            targets[path] = TargetFile(file.bytes, {"sha256": file.sha256}, path, custom)
    return targets


# --- the command --------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``lantern-convert publish`` takes."""
    parser.add_argument("pack", type=Path, nargs="?", help="a finished pack's folder; without one, only sign anew")
    parser.add_argument("--repository", type=Path, required=True, help="the folder that boxes read")
    parser.add_argument("--keys", type=Path, required=True, help="the publisher's keys, made by lantern-convert keys")
    parser.add_argument(
        "--days", type=int, default=DAYS, help="how long the signatures are good (default: %(default)s)"
    )
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="its first line opens the keys")


def command(options: argparse.Namespace) -> int:
    """Publish, and say what is offered now."""
    passphrase = tuf_keys.passphrase_of(options.passphrase_file)
    state = publish(options.pack, options.repository, options.keys, options.days, passphrase)
    for offer in state.index.packs:
        print(f"{offer.name} {offer.version}")
    print(f"{options.repository} is good until {state.expires:%Y-%m-%d}", file=sys.stderr)
    return 0
