"""Takes back into use the version of a pack before, because a person on the page asked for it.

The reader does it between two images, since it alone knows that none is being read with the version that is left; then
it ends, and starts anew with the other version.
"""

from __future__ import annotations

import logging

from firmware_app.config import Config
from firmware_app.errors import PackError, PackFolderUnusable
from firmware_app.packs.installed import PackStore
from firmware_app.records import Reason
from firmware_app.store.clinical.pack_changes import PackChange, PackChanges
from firmware_app.store.sqlite.database import Database

log = logging.getLogger("lantern.reader")


def carried_out(config: Config, database: Database) -> bool:
    """Do all that is asked for; whether a pack was changed, so that the reader must load its packs anew."""
    changes, store = PackChanges(database), PackStore.of(config)
    changed = False
    for change in changes.asked():
        try:
            version = _rolled_back(store, change)
        except PackError as error:
            log.warning("a pack was not rolled back: %s", error.code)
            changes.finished(change, None, Reason.of(error))
        except OSError as error:
            log.warning("a pack was not rolled back: %s", error.strerror)
            changes.finished(
                change, None, Reason.of(PackFolderUnusable(path=str(store.installed), detail=error.strerror or ""))
            )
        else:
            changes.finished(change, version, None)
            changed = True
    return changed


def _rolled_back(store: PackStore, change: PackChange) -> str:
    from firmware_app.packs import installing  # with all of TUF: most readers never need it

    if store.linked(change.pack) == change.version:
        return installing.roll_back(store, change.pack).pack.manifest.version
    return store.find(change.pack).manifest.version  # done by a reader that was killed before it had noted it
