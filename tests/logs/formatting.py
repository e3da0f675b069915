"""Formats log records as sites do that collect them: all that is known of each, as JSON."""

from __future__ import annotations

import json
import logging

from wagtail_async_hooks.worker.log import FIELDS


class JsonLines(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        known = {
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
            "traceback": bool(record.exc_info),
        }
        return json.dumps(known | {name: getattr(record, name) for name in FIELDS})
