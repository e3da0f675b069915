"""What the doctor finds: something that is wrong, in words, and what to type."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How bad it is; the larger, the worse."""

    NOTE = 0
    """Worth knowing, and nothing is wrong."""
    WARNING = 1
    """Tasks run, but later than they should, or not all, or not for long."""
    CRITICAL = 2
    """Tasks do not run, or are lost."""


class Code(StrEnum):
    """What is found, for scripts: names that stay."""

    SETTINGS = "settings"
    HOOKS = "hooks"
    CHECK = "check"
    BLANK_BACKEND = "blank-backend"
    TASKS_ELSEWHERE = "tasks-elsewhere"
    DATABASE = "database"
    MIGRATIONS = "migrations"
    TABLES = "tables"
    SQLITE = "sqlite"
    POOLER = "pooler"
    NOTIFIER = "notifier"
    EVICTION = "eviction"
    DECODING = "decoding"
    NO_WORKER = "no-worker"
    UNSERVED_QUEUE = "unserved-queue"
    OTHER_RELEASE = "other-release"
    OTHER_CODE = "other-code"
    CLOCK = "clock"
    UNKNOWN_TASK = "unknown-task"
    SECRET_KEY = "secret-key"
    PAUSED = "paused"
    WAITING = "waiting"
    NOT_DUE = "not-due"
    NOT_EXAMINED = "not-examined"


class Finding(NamedTuple):
    """Something that is wrong.

    :param text: what, and why that matters, in sentences.
    :param remedy: what to type, or to change.
    """

    severity: Severity
    code: Code
    text: str
    remedy: str
