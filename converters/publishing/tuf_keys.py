"""A publisher's keys: four Ed25519 keys, one for each role of TUF, and the ``root.json`` that names them.

The root key signs root.json and nothing else, so it is kept in a folder of its own that is carried to a safe; the
three others sign each publication. Keys are files for their owner only, encrypted where a passphrase is given.
"""

import argparse
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from converters.failures import OutputUnwritable, PublisherKeysUnusable

ROOT_FILE: Final = "root.json"
ONLINE: Final = ("targets", "snapshot", "timestamp")
ROOT_KEY: Final = Path("root-key", "root.pem")
ROOT_YEARS: Final = 10


def make(folder: Path, passphrase: bytes | None = None) -> Path:
    """Make a new publisher in ``folder``, whole or not at all; returns its root.json.

    Raises :class:`~converters.failures.PublisherKeysUnusable` where keys may be already, and
    :class:`~converters.failures.OutputUnwritable`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PublisherKeysUnusable(str(folder), "it is there already; keys are never written over")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        (part / ROOT_KEY.parent).mkdir(mode=0o700)
        signers = {role: _new(part / path_of(role), passphrase) for role in ("root", *ONLINE)}
        root = Root(expires=_in_days(365 * ROOT_YEARS), consistent_snapshot=True)
        for role, signer in signers.items():
            root.add_key(signer.public_key, role)
        signed = Metadata(root)
        signed.sign(signers["root"])
        signed.to_file(str(part / ROOT_FILE))
        (part / ROOT_FILE).chmod(0o644)
        if folder.is_dir():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise OutputUnwritable(str(folder), error.strerror or str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / ROOT_FILE


def signers(folder: Path, root: Metadata[Root], passphrase: bytes | None = None) -> dict[str, CryptoSigner]:
    """The keys that sign a publication, each checked to be the one that ``root`` names.

    Raises :class:`~converters.failures.PublisherKeysUnusable`.
    """
    keys = {}
    for role in ONLINE:
        path = folder / path_of(role)
        try:
            key = load_pem_private_key(path.read_bytes(), passphrase)
        except OSError as error:
            raise PublisherKeysUnusable(str(path), error.strerror or "it cannot be read") from error
        except TypeError as error:  # how cryptography says that a passphrase is missing, or is one too many
            raise PublisherKeysUnusable(str(path), str(error)) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise PublisherKeysUnusable(str(path), "the passphrase is wrong, or it is no private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise PublisherKeysUnusable(str(path), "it is no Ed25519 key")
        signer = CryptoSigner(key)
        if signer.public_key.keyid not in root.signed.roles[role].keyids:
            raise PublisherKeysUnusable(str(path), f"the repository's root.json names another key for {role}")
        keys[role] = signer
    return keys


def root_of(path: Path) -> Metadata[Root]:
    """A root.json that is signed by its own root key; raises :class:`~converters.failures.PublisherKeysUnusable`."""
    try:
        root: Metadata[Root] = Metadata.from_bytes(path.read_bytes())
        root.verify_delegate("root", root)
    except OSError as error:
        raise PublisherKeysUnusable(str(path), error.strerror or "it cannot be read") from error
    except (RepositoryError, TypeError, ValueError) as error:
        raise PublisherKeysUnusable(str(path), f"it is no root.json: {str(error).splitlines()[0]}") from error
    return root


def passphrase_of(path: Path | None) -> bytes | None:
    """The first line of a file; ``None`` without a file."""
    if path is None:
        return None
    try:
        return path.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise PublisherKeysUnusable(str(path), error.strerror or "it cannot be read") from error


def path_of(role: str) -> Path:
    """The path of a role's key in the folder."""
    return ROOT_KEY if role == "root" else Path(f"{role}.pem")


def _new(path: Path, passphrase: bytes | None) -> CryptoSigner:
    key = Ed25519PrivateKey.generate()
    hidden = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))
    return CryptoSigner(key)


def _in_days(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


# --- the command --------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``lantern-convert keys`` takes."""
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="encrypt the keys with its first line")


def command(options: argparse.Namespace) -> int:
    """Make the keys and say what to do with them."""
    from firmware_app.packs.repository import fingerprint

    root = make(options.out, passphrase_of(options.passphrase_file))
    print(root)
    print(
        f"Give {ROOT_FILE} to every box once; its fingerprint is {fingerprint(root.read_bytes())}.\n"
        f"Carry the folder {ROOT_KEY.parent} to a safe now: it is needed only to replace the other keys.",
        file=sys.stderr,
    )
    return 0
