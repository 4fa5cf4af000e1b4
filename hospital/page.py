"""A plain page for the one who is on duty: tonight's urgent cases, and boxes that have fallen silent.

It shows numbers of the inbox and nothing else; it listens on this machine only unless told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from flask import Flask, Response, render_template

from hospital.inbox import BoxRow, Inbox

TONIGHT: Final = timedelta(hours=24)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Silence:
    """A box that has not spoken for longer than it should; `minutes` is None when it never did."""

    box: str
    minutes: int | None
    said_goodbye: bool


def silent(boxes: list[BoxRow], now: datetime, after: timedelta) -> list[Silence]:
    """The boxes not heard of for longer than *after*, or whose last word was a goodbye; the longest silence first."""
    found = []
    for box in boxes:
        last = datetime.fromisoformat(box.last_at) if box.last_at else None
        gone = box.state == "death"
        if last is None or gone or now - last > after:
            found.append(Silence(box.box, int((now - last) / timedelta(minutes=1)) if last else None, gone))
    return sorted(found, key=lambda one: -(one.minutes if one.minutes is not None else 10**9))


def create_app(inbox_db: Path, silent_after: timedelta, hosts: list[str] | None = None) -> Flask:
    """The page over one inbox.  *hosts* are the names it answers to (default: this machine's own)."""
    app = Flask(__name__)
    app.config["TRUSTED_HOSTS"] = hosts or ["127.0.0.1", "localhost", "[::1]"]
    inbox = Inbox(inbox_db)

    @app.get("/")
    def tonight() -> str:
        now = datetime.now(UTC)
        urgent = inbox.cases(priority="urgent", since=(now - TONIGHT).isoformat(timespec="milliseconds"), limit=200)
        return render_template(
            "tonight.html",
            urgent=urgent[::-1],
            silent=silent(inbox.boxes(), now, silent_after),
            aside=inbox.aside(20),
            now=now.strftime("%Y-%m-%d %H:%M UTC"),
        )

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return app
