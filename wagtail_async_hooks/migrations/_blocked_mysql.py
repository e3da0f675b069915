"""The indexes of the third migration on MySQL and MariaDB, as :mod:`._initial_mysql` says."""

from typing import Any

from wagtail_async_hooks.migrations._initial_mysql import make

INDEXES = {
    "bgtask_claim": "state, blocked, priority DESC, id",
    "bgtask_exclusive_next": "state, exclusive_key, priority DESC, id, blocked",
    "bgtask_queue": "state, queue, blocked, priority DESC, id",
}


def replace(apps: Any, schema_editor: Any) -> None:
    """Put the indexes into the place of those that there are."""
    if schema_editor.connection.vendor == "mysql":
        make(schema_editor, INDEXES)
