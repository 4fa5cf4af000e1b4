"""The viewer's page “Live”: what is told to it, and the frames that doctors keep from it."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import Any, Final

from firmware_app.cases.accounts.audit import Audit
from firmware_app.cases.clinical_db import Clinical
from firmware_app.cli.bedside import told
from firmware_app.core.children.child import ChildLost
from firmware_app.core.errors import LanternError, NothingKept
from firmware_app.core.live_frame import LiveFolder, Newest, Wish
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.accept import Door
from firmware_app.packs.manifest import Manifest
from firmware_app.reading.bedside.grabber import Refused
from firmware_app.reading.bedside.watching import LiveReading, Told, Watching

_SOURCE: Final = "live"
_KEPT: Final = "frame.kept"
_REMEMBERED: Final = 8


class LivePage:
    """*folder* as the viewer of *state* shows it."""

    def __init__(
        self, folder: LiveFolder, state: StateDir, clinical: Clinical, config: Config, manifest: Manifest
    ) -> None:
        self._folder, self._clinical, self._manifest = folder, clinical, manifest
        self._door = Door(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
        self._audit = Audit(clinical.database)
        self._kept: list[dict[str, Any]] = []

    def show(self, one: LiveReading | Told, rate: float) -> None:
        """Tell the page of *one*."""
        said = told.page(one, rate) | {"kept": self._kept, "told_at": time.monotonic()}
        if isinstance(one, Told):
            self._folder.publish(Newest(said))
            return
        strongest = max(
            (each for each in one.findings if each.positive), key=lambda each: each.probability, default=None
        )
        heat = b""
        if strongest is not None and not one.lesions:
            with suppress(OSError):
                heat = (self._folder.path / f"{strongest.code}.png").read_bytes()
        self._folder.publish(Newest(said, bytes(one.jpeg), heat))

    def keep_what_is_wished(self, watching: Watching) -> None:
        """Take the frames that doctors want through the door; each wish is answered on the page."""
        for wish in self._folder.wishes():
            try:
                answer: dict[str, Any] = {"case": self._keep(wish, watching)}
            except Refused as refused:
                answer = {"reason": {"code": refused.reason.code, "details": dict(refused.reason.details)}}
            except (LanternError, OSError, ChildLost) as error:
                given = error if isinstance(error, LanternError) else NothingKept(detail=str(error)[:80])
                answer = {"reason": {"code": given.code, "details": dict(Reason.of(given).details)}}
            self._kept = [*self._kept, {"sequence": wish.sequence, **answer}][-_REMEMBERED:]

    def _keep(self, wish: Wish, watching: Watching) -> str:
        path = self._folder.path / f"kept-{wish.sequence}.dcm"
        # PS3.5 B.2.  A study of its own: nobody says when the next patient begins, and a study is one patient's.
        study = f"2.25.{secrets.randbits(122) | 1 << 121}"
        try:
            watching.keep(wish.sequence, path, next(iter(self._manifest.route.body_parts), ""), study)
            association = self._clinical.open_association(_SOURCE)
            admitted = self._door.accept_file(path, f"{_SOURCE}:{wish.sequence}", association)
            self._clinical.close_association(association)
        finally:
            path.unlink(missing_ok=True)
        self._audit.record(wish.actor, _KEPT, admitted.case, sequence=wish.sequence)
        return admitted.case
