"""Who may use the viewer: accounts.db with people, their roles, one-time codes, sessions and failed log-ins."""

from firmware_app.cases.accounts.store import (
    DEVICE,
    SCHEMA,
    SCHEMA_VERSION,
    SESSION_MOST_S,
    Accounts,
    Role,
    User,
    normalise_name,
    parse_code,
)

__all__ = [
    "DEVICE",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SESSION_MOST_S",
    "Accounts",
    "Role",
    "User",
    "normalise_name",
    "parse_code",
]
