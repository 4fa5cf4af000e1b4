"""The report of a pack: one HTML page that needs nothing beside itself, in Chinese and English."""

from converters.report.page import Subject, rendered, write
from converters.report.step_results import Accounts

__all__ = ["Accounts", "Subject", "rendered", "write"]
