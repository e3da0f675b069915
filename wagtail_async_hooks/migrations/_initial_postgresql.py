"""What the first migration makes on PostgreSQL beside the tables: a trigger and a function.

The trigger notifies listening workers of a task that waits, with the commit that made it wait. A
trigger rather than a statement of ours: it costs no round trip, and covers every way in which a
task comes to wait (enqueued, due, retried, rescued, resumed).

The function records how a task ended and claims the one that comes next of all. As a statement of
the worker's, this was planned for each task, which took longer than to run it. And where statistics
were old, as they are while a queue grows or shrinks, the planner read and sorted everything that
waited or had been waiting. The function keeps its plans, and knows only one way: along the index,
in its order. It asks the clock itself, and says of a task that it claims whether it has expired. It
records an end only for the task that was claimed: after a restore of the database, another one may
have the same number.

What it looks for is what ``ledger.selection`` asks of other databases; a test compares them.
"""

from typing import Any

TABLE = "wagtail_async_hooks_backgroundtask"
VALUES = "wagtail_async_hooks_storedvalue"
NOTIFY = "wagtail_async_hooks_notify"
STEP = "wagtail_async_hooks_step"

# Equal notifications of one transaction arrive as one.
CREATE_NOTIFY = f"""
CREATE FUNCTION {NOTIFY}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('wagtail_async_hooks', ''); RETURN NULL; END $$;
CREATE TRIGGER {NOTIFY} AFTER INSERT OR UPDATE OF state ON {TABLE}
FOR EACH ROW WHEN (NEW.state = 'waiting') EXECUTE FUNCTION {NOTIFY}();
"""

CLAIMED = {
    "id": "bigint",
    "task_id": "text",
    "name": "text",
    "hook": "text",
    "function": "text",
    "queue": "text",
    "priority": "integer",
    "attempt": "integer",
    "deaths": "integer",
    "message": "bytea",
    "coalesce_key": "text",
    "exclusive_key": "text",
    "cancel_requested": "boolean",
    "snoozes": "integer",
    "latest_at": "timestamptz",
}
"""What is read of a row that has been claimed."""


def first(more: str = "") -> str:
    """Return the query that locks the first waiting task, of those that meet one more condition."""
    return f"""(
SELECT id FROM {TABLE} WHERE state = 'waiting' AND (suspects OR deaths = 0)
AND (exclusive_key = '' OR (NOT EXISTS (SELECT 1 FROM {TABLE} other WHERE other.state = 'running'
AND NOT (other.exclusive_key = '') AND other.exclusive_key = {TABLE}.exclusive_key)
AND {TABLE}.id = (SELECT other.id FROM {TABLE} other WHERE other.state = 'waiting'
AND NOT (other.exclusive_key = '') AND other.exclusive_key = {TABLE}.exclusive_key
ORDER BY (-1 - priority), id LIMIT 1))){more}
ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED
)"""


# Each statement of a function sees what those before it have done.
#
# ``running`` is a variable, as the index of what runs would be taken for its row otherwise, with
# all that ran since the last vacuum. The array of one priority keeps from taking the index of the
# primary key, and reading on and on.
CREATE_STEP = f"""
CREATE FUNCTION {STEP}(
ended bigint, ended_attempt integer, ended_task_id text, ended_state text, ended_result bytea,
ended_error text, ended_error_type text, ended_traceback text, ended_explanation text,
by_worker bigint, suspects boolean,
after_priority integer, after_id bigint,
OUT kept boolean{"".join(f", OUT claimed_{name} {kind}" for name, kind in CLAIMED.items())},
OUT revocations boolean, OUT expired boolean, OUT looked_for double precision
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE moment CONSTANT timestamptz := statement_timestamp(); chosen bigint;
running CONSTANT text := 'running'; begun timestamptz;
BEGIN
kept := false;
IF ended IS NOT NULL THEN
    UPDATE {TABLE} t SET state = ended_state, finished_at = moment,
    result = COALESCE(ended_result, t.result), error = ended_error, error_type = ended_error_type,
    traceback = ended_traceback, explanation = ended_explanation
    WHERE t.id = ended AND t.attempt = ended_attempt AND t.task_id = ended_task_id
    AND t.state = running;
    kept := FOUND;
END IF;
IF after_id IS NOT NULL THEN
    chosen := {first(" AND priority > after_priority")};
    IF chosen IS NULL THEN
        chosen := {first(" AND priority = ANY (ARRAY[after_priority]) AND id > after_id")};
    END IF;
END IF;
IF chosen IS NULL THEN
    begun := clock_timestamp();
    chosen := {first()};
    looked_for := EXTRACT(EPOCH FROM clock_timestamp() - begun);
END IF;
IF chosen IS NOT NULL THEN
    UPDATE {TABLE} t SET state = 'running', attempt = t.attempt + 1, worker_id = by_worker,
    started_at = moment, slot = NULL WHERE t.id = chosen
    RETURNING {", ".join(f"t.{name}" for name in CLAIMED)}, t.expires_at < moment
    INTO {", ".join(f"claimed_{name}" for name in CLAIMED)}, expired;
    revocations := EXISTS (SELECT 1 FROM {VALUES} WHERE key >= 'r' AND key < 's');
END IF;
END $$;
"""

DROP = f"DROP FUNCTION {STEP}; DROP TRIGGER {NOTIFY} ON {TABLE}; DROP FUNCTION {NOTIFY}();"


def create(apps: Any, schema_editor: Any) -> None:
    """Make both."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE_NOTIFY)
        schema_editor.execute(CREATE_STEP)


def drop(apps: Any, schema_editor: Any) -> None:
    """Drop both, as long as the table is there."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)
