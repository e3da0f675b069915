"""The second database of the tests, which has this app's tables; and one for the ledger alone."""

from __future__ import annotations

from typing import Any

OTHER = "other"
"""Its alias."""


class OtherDatabase:
    """Keep everything else out of the second database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Say what has a table there."""
        return app_label == "oddities" if db == OTHER else None


class LedgerElsewhere:
    """Sends the package's tables to a database of their own."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Say where a model is written to."""
        return "elsewhere" if model._meta.app_label == "wagtail_async_hooks" else None

    db_for_read = db_for_write
