"""What migrations make on PostgreSQL beside the tables: a trigger and two functions.

The trigger notifies listening workers of a task that waits, with the commit that made it wait. A
trigger rather than a statement of ours: it costs no round trip, and covers every way in which a
task comes to wait (enqueued, due, retried, rescued, resumed).

The functions record how a task ended and claim the one that comes next: one of all, and one within
the bounds of a worker (its queues, limits, and what is paused). As a statement of the worker's,
this was planned for each task, which took longer than to run it. And where statistics were old, as
they are while a queue grows or shrinks, the planner read and sorted everything that waited or had
been waiting. The functions keep their plans, and know only one way: along the index, in its order.
They ask the clock themselves, and say of a task that they claim whether it has expired. They record
an end only for the task that was claimed: after a restore of the database, another one may have the
same number.

What they look for is what ``ledger.selection`` asks of other databases; tests compare them.

The first migration makes them, and those that change them make them anew from here. PostgreSQL
looks for a function's columns when it is first called: they may be those of a later migration.
"""

from typing import Any, Final

TABLE: Final = "wagtail_async_hooks_backgroundtask"
VALUES: Final = "wagtail_async_hooks_storedvalue"
NOTIFY: Final = "wagtail_async_hooks_notify"
STEP: Final = "wagtail_async_hooks_step"
STEP_WITHIN: Final = "wagtail_async_hooks_step_within"

# Equal notifications of one transaction arrive as one.
CREATE_NOTIFY: Final = f"""
CREATE FUNCTION {NOTIFY}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('wagtail_async_hooks', ''); RETURN NULL; END $$;
CREATE TRIGGER {NOTIFY} AFTER INSERT OR UPDATE OF state ON {TABLE}
FOR EACH ROW WHEN (NEW.state = 'waiting') EXECUTE FUNCTION {NOTIFY}();
"""

CLAIMED: Final = {
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

WAITS: Final = "state = 'waiting' AND blocked = FALSE AND (suspects OR deaths = 0)"

FREE: Final = f"""(exclusive_key = '' OR (NOT EXISTS (SELECT 1 FROM {TABLE} other
WHERE other.state = 'running' AND NOT (other.exclusive_key = '')
AND other.exclusive_key = {TABLE}.exclusive_key)
AND {TABLE}.id = (SELECT other.id FROM {TABLE} other WHERE other.state = 'waiting'
AND NOT (other.exclusive_key = '') AND other.exclusive_key = {TABLE}.exclusive_key
ORDER BY (-1 - priority), id LIMIT 1)))"""
"""No task with the same exclusive key runs, or waits before it."""

NOT_PAUSED: Final = "AND NOT hook = ANY (hooks) AND NOT function = ANY (functions)"

LOCKED: Final = "FOR UPDATE SKIP LOCKED"

TAKEN: Final = f"""FROM {TABLE} taken WHERE taken.state = 'running' AND taken.slot IS NOT NULL
AND taken.queue = looked_in"""

LOWEST_SLOT: Final = f"""(
SELECT MIN(number) FROM (SELECT 0 AS number UNION ALL SELECT taken.slot + 1 {TAKEN}) candidate
WHERE NOT EXISTS (SELECT 1 {TAKEN} AND taken.slot = candidate.number)
)"""
"""The lowest number that no running task of a queue has."""

FIND_SLOT: Final = f"""IF freed_queue = looked_in AND freed_slot < most[place] THEN
claimed_slot := freed_slot;
ELSE
claimed_slot := {LOWEST_SLOT};
END IF;"""
"""The number of the task that has just ended is free, and nobody else can know it yet."""


def first(more: str = "") -> str:
    """Return the query that locks the first waiting task, of those that meet one more condition."""
    return f"""(
SELECT id FROM {TABLE} WHERE {WAITS}
AND {FREE}{more}
ORDER BY priority DESC, id LIMIT 1 {LOCKED}
)"""


# The index of what waits leads straight to it, and no other one has that order: that of the primary
# key would read on and on. An array keeps the order in the first column of an index only.
BEHIND: Final = (
    first(" AND priority = after_priority AND id > after_id")
    .replace("blocked = FALSE", "blocked = ANY (ARRAY[FALSE])")
    .replace("ORDER BY priority", "ORDER BY blocked, priority")
)
"""The first one behind a task, of those with the same priority."""


def first_of_queue(queue: str, lock: str = "", columns: str = "id") -> str:
    """Return the query for the first waiting task of a queue that is not paused."""
    return f"""(
SELECT {columns} FROM {TABLE} WHERE {WAITS} AND queue = {queue}
AND {FREE} {NOT_PAUSED}
ORDER BY (-1 - priority), id LIMIT 1 {lock}
)"""


ENDED: Final = (
    "ended bigint, ended_attempt integer, ended_task_id text, ended_state text, "
    "ended_result bytea, ended_error text, ended_error_type text, ended_traceback text, "
    "ended_explanation text"
)
TOLD: Final = (
    f"OUT kept boolean{''.join(f', OUT claimed_{name} {kind}' for name, kind in CLAIMED.items())}, "
    "OUT revocations boolean, OUT expired boolean"
)

# ``running`` is a variable, as the index of what runs would be taken for its row otherwise, with
# all that ran since the last vacuum.
FINISH: Final = f"""
kept := false;
IF ended IS NOT NULL THEN
    UPDATE {TABLE} t SET state = ended_state, finished_at = moment,
    result = COALESCE(ended_result, t.result), error = ended_error, error_type = ended_error_type,
    traceback = ended_traceback, explanation = ended_explanation
    WHERE t.id = ended AND t.attempt = ended_attempt AND t.task_id = ended_task_id
    AND t.state = running RETURNING t.exclusive_key, t.queue, t.slot
    INTO freed_key, freed_queue, freed_slot;
    kept := FOUND;
    IF freed_key <> '' THEN
        UPDATE {TABLE} t SET blocked = FALSE WHERE t.blocked AND t.id = (
        SELECT other.id FROM {TABLE} other WHERE other.state = 'waiting'
        AND NOT (other.exclusive_key = '') AND other.exclusive_key = freed_key
        ORDER BY (-1 - priority), id LIMIT 1);
    END IF;
END IF;
"""

CLAIM: Final = f"""
IF chosen IS NOT NULL THEN
    UPDATE {TABLE} t SET state = 'running', attempt = t.attempt + 1, worker_id = by_worker,
    started_at = moment, slot = claimed_slot WHERE t.id = chosen
    RETURNING {", ".join(f"t.{name}" for name in CLAIMED)}, t.expires_at < moment
    INTO {", ".join(f"claimed_{name}" for name in CLAIMED)}, expired;
    revocations := EXISTS (SELECT 1 FROM {VALUES} WHERE key >= 'r' AND key < 's');
END IF;
"""

# Each statement of a function sees what those before it have done. A sort that is switched off and
# has to be done all the same is said to cost so much that PostgreSQL would compile it, each time.
OPTIONS: Final = """LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET jit = off SET plan_cache_mode = force_generic_plan"""

VARIABLES: Final = """moment CONSTANT timestamptz := statement_timestamp();
running CONSTANT text := 'running'; chosen bigint;
freed_key text; freed_queue text; freed_slot integer;"""

CREATE_STEP: Final = f"""
CREATE FUNCTION {STEP}({ENDED},
by_worker bigint, suspects boolean, after_priority integer, after_id bigint,
{TOLD}, OUT looked_for double precision
) {OPTIONS} AS $$
DECLARE {VARIABLES} begun timestamptz; claimed_slot CONSTANT integer := NULL;
BEGIN{FINISH}IF after_id IS NOT NULL THEN
    chosen := {first(" AND priority > after_priority")};
    IF chosen IS NULL THEN
        chosen := {BEHIND};
    END IF;
END IF;
IF chosen IS NULL THEN
    begun := clock_timestamp();
    chosen := {first()};
    looked_for := EXTRACT(EPOCH FROM clock_timestamp() - begun);
END IF;{CLAIM}END $$;
"""

NOT_PAUSED_T: Final = NOT_PAUSED.replace("NOT ", "NOT t.")

FIRST_WITHIN: Final = f"""SELECT t.id INTO chosen FROM {TABLE} t WHERE t.id = {first()}
AND NOT t.queue = ANY (left_out) AND NOT t.queue = ANY (limited) {NOT_PAUSED_T};"""

HEAD_OF_ALL: Final = f"""SELECT t.id, t.queue INTO head, looked_in FROM (
SELECT * FROM {TABLE} WHERE {WAITS} AND {FREE} ORDER BY priority DESC, id LIMIT 1
) t WHERE NOT t.queue = ANY (left_out) {NOT_PAUSED_T};"""

HEADS: Final = f"""FROM unnest(names) AS one (of_them),
LATERAL {first_of_queue("one.of_them", columns="id, queue, priority")} first
WHERE NOT one.of_them = ANY (left_out) ORDER BY (-1 - first.priority), first.id"""
"""The first tasks of some queues, in their order."""

# A head that is locked is waited for, where the queue has a limit: whoever has locked it may find
# that somebody else took the place that was free. Who passed over it would let another run first.
TAKE_HEAD: Final = f"""place := array_position(limited, looked_in);
IF place IS NULL THEN
    SELECT t.id INTO chosen FROM {TABLE} t WHERE t.id = head AND t.state = 'waiting' {LOCKED};
ELSE
    {FIND_SLOT}
    IF claimed_slot < most[place] THEN
        SELECT t.id INTO chosen FROM {TABLE} t
        WHERE t.id = head AND t.state = 'waiting' FOR UPDATE;
    END IF;
    IF chosen IS NULL THEN
        claimed_slot := NULL;
    END IF;
END IF;"""

# First the head of all, or of those served, is tried: mostly nobody has locked it, and there is
# room for it. If somebody has, there is the one behind it. Else the queues are tried one by one.
CREATE_STEP_WITHIN: Final = f"""
CREATE FUNCTION {STEP_WITHIN}({ENDED},
by_worker bigint, suspects boolean,
served text[], left_out text[], hooks text[], functions text[], limited text[], most integer[],
{TOLD}, OUT claimed_slot integer
) {OPTIONS} AS $$
DECLARE {VARIABLES} looked_in text; place integer; head bigint; names text[] := served;
BEGIN{FINISH}IF cardinality(served) = 0 AND cardinality(limited) = 0 THEN
    {FIRST_WITHIN}
ELSIF cardinality(served) = 0 THEN
    {HEAD_OF_ALL}
ELSIF cardinality(served) > 1 THEN
    SELECT first.id, first.queue INTO head, looked_in {HEADS} LIMIT 1;
END IF;
IF head IS NOT NULL THEN
    {TAKE_HEAD}
    IF chosen IS NULL AND place IS NULL AND cardinality(served) = 0 THEN
        {FIRST_WITHIN}
    ELSIF chosen IS NULL AND place IS NULL THEN
        chosen := {first_of_queue("looked_in", LOCKED)};
    END IF;
END IF;
IF chosen IS NULL AND cardinality(served) = 0 THEN
    names := ARRAY(WITH RECURSIVE found (queue) AS (
    (SELECT queue FROM {TABLE} WHERE state = 'waiting' ORDER BY queue LIMIT 1) UNION ALL
    SELECT (SELECT queue FROM {TABLE} WHERE state = 'waiting' AND queue > found.queue
    ORDER BY queue LIMIT 1) FROM found WHERE found.queue IS NOT NULL)
    SELECT queue FROM found WHERE queue IS NOT NULL);
END IF;
IF chosen IS NULL THEN
    IF cardinality(names) > 1 THEN
        names := ARRAY(SELECT first.queue {HEADS});
    END IF;
    FOREACH looked_in IN ARRAY names LOOP
        CONTINUE WHEN looked_in = ANY (left_out);
        IF looked_in = ANY (limited) THEN
            head := {first_of_queue("looked_in")};
            {TAKE_HEAD}
        ELSE
            chosen := {first_of_queue("looked_in", LOCKED)};
        END IF;
        EXIT WHEN chosen IS NOT NULL;
    END LOOP;
END IF;{CLAIM}END $$;
"""

DROP_STEPS: Final = f"DROP FUNCTION IF EXISTS {STEP}; DROP FUNCTION IF EXISTS {STEP_WITHIN};"
DROP: Final = f"{DROP_STEPS} DROP TRIGGER {NOTIFY} ON {TABLE}; DROP FUNCTION {NOTIFY}();"


def create(apps: Any, schema_editor: Any) -> None:
    """Make all of them."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE_NOTIFY)
        replace(apps, schema_editor)


def replace(apps: Any, schema_editor: Any) -> None:
    """Make the functions anew, as they are now."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP_STEPS)
        schema_editor.execute(CREATE_STEP)
        schema_editor.execute(CREATE_STEP_WITHIN)


def drop(apps: Any, schema_editor: Any) -> None:
    """Drop all of them, as long as the table is there."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)
