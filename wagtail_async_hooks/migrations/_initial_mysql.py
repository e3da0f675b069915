"""What the first migration makes on MySQL and MariaDB, in the place of what only others have.

They have no partial indexes. Django makes those of the model without their conditions, and on
MariaDB leaves out those of expressions. The ones here begin with the state instead, or all that was
ever due, say, would be read.

Nor have they conditional constraints. Columns that are computed from the row, and ``NULL`` unless
the task runs, take the place of the conditions. Django knows nothing of them, and need not.
"""

from collections.abc import Mapping
from typing import Any

TABLE = "wagtail_async_hooks_backgroundtask"

INDEXES = {
    "bgtask_claim": "state, priority DESC, id",
    "bgtask_due": "state, run_at",
    "bgtask_exclusive_next": "state, exclusive_key, priority DESC, id",
    "bgtask_queue": "state, queue, priority DESC, id",
}

EXACT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

COLUMNS = f"""
ALTER TABLE {TABLE}
ADD COLUMN running_exclusively varchar(255) {EXACT} GENERATED ALWAYS AS (
    CASE WHEN state = 'running' AND exclusive_key <> '' THEN exclusive_key END
) VIRTUAL AFTER exclusive_key,
ADD COLUMN limited_queue varchar(64) {EXACT} GENERATED ALWAYS AS (
    CASE WHEN state = 'running' AND slot IS NOT NULL THEN queue END
) VIRTUAL AFTER slot,
ADD UNIQUE INDEX bgtask_exclusive (running_exclusively),
ADD UNIQUE INDEX bgtask_slot (limited_queue, slot)
"""


def create(apps: Any, schema_editor: Any) -> None:
    """Replace the indexes that Django has made, and add the columns."""
    if schema_editor.connection.vendor == "mysql":
        make(schema_editor, INDEXES)
        schema_editor.execute(COLUMNS)


def make(schema_editor: Any, indexes: Mapping[str, str]) -> None:
    """Make indexes, in the place of those of the same names.

    :param indexes: by name, the columns.
    """
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        existing = connection.introspection.get_constraints(cursor, TABLE)
    for name, columns in indexes.items():
        if name in existing:
            schema_editor.execute(f"DROP INDEX {name} ON {TABLE}")
        schema_editor.execute(f"CREATE INDEX {name} ON {TABLE} ({columns})")
