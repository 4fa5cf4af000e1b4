"""The report of a pack: one HTML page that needs nothing beside itself, in Chinese and English."""

from converters.report.accounts import Accounts
from converters.report.page import Subject, rendered, write

__all__ = ["Accounts", "Subject", "rendered", "write"]
