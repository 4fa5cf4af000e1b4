"""Changes of packs that a person asked for on the page: back to the version before, or a trial committed or dropped.

The reader does them between two images, since it alone knows that none is being read with the version that is left;
then it ends, and starts anew with the other version.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from firmware_app.cases.pack_changes import PackChange, PackChanges, Wish
from firmware_app.cases.pack_trials import PackTrials, TrialState
from firmware_app.core.errors import PackError, PackFolderUnusable, PackNotOnTrial
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.sqlite.database import Database
from firmware_app.packs.installed import PackStore

log = logging.getLogger("lantern.reader")


def carried_out(config: Config, database: Database) -> bool:
    """Do all that is asked for; whether another version serves now, so that the reader must load its packs anew."""
    changes, store = PackChanges(database), PackStore.of(config)
    changed = False
    for change in changes.asked():
        try:
            version = _done(store, change, PackTrials(database))
        except PackError as error:
            log.warning("a pack was not changed: %s", error.code)
            changes.finished(change, None, Reason.of(error))
        except OSError as error:
            log.warning("a pack was not changed: %s", error.strerror)
            changes.finished(
                change, None, Reason.of(PackFolderUnusable(path=str(store.installed), detail=error.strerror or ""))
            )
        else:
            changes.finished(change, version, None)
            changed |= change.wish is not Wish.DROP
    return changed


def _done(store: PackStore, change: PackChange, trials: PackTrials) -> str:
    """Do it, unless a reader that was killed before it had noted it did; returns the version that serves now."""
    from firmware_app.packs import installing  # with all of TUF: most readers never need it

    if change.wish is Wish.BACK:
        if store.linked(change.pack) == change.version:
            return installing.roll_back(store, change.pack).pack.manifest.version
    elif change.wish is Wish.DROP:
        end(trials, change.pack, TrialState.DROPPED, change.actor)
        with suppress(PackNotOnTrial):
            installing.drop(store, change.pack)
    elif store.linked(change.pack) != change.version:
        if store.trialled(change.pack) != change.version:
            raise PackNotOnTrial(pack=change.pack)
        installing.commit(store, change.pack)
        end(trials, change.pack, TrialState.COMMITTED, change.actor)
    else:
        end(trials, change.pack, TrialState.COMMITTED, change.actor)
    return store.find(change.pack).manifest.version


def end(trials: PackTrials, pack: str, state: TrialState, actor: str) -> bool:
    """Note that a person has ended the trial of a pack; False where none runs."""
    trial = trials.of(pack)
    if trial is None or not trial.runs:
        return False
    trials.end(trial, state, actor)
    return True
