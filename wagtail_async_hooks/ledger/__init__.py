"""Every state change of a background task, and nothing else.

The table of :class:`~wagtail_async_hooks.models.BackgroundTask` is the truth about every task,
whatever storage carries the news of it. ``attempt`` grows with every claim and never shrinks, so
that "the same row, running, at the same attempt" means "still mine": a worker that was given up
for dead cannot overwrite what its successor did.
"""

from wagtail_async_hooks.ledger.attempts import attempts
from wagtail_async_hooks.ledger.base import BATCH, DatabaseNow, database, info
from wagtail_async_hooks.ledger.claiming import step, waits
from wagtail_async_hooks.ledger.history import prune, prune_workers
from wagtail_async_hooks.ledger.items import (
    is_done,
    items,
    items_to_tell_of,
    keys_done,
    record_item,
    told_of,
)
from wagtail_async_hooks.ledger.notices import take_messages
from wagtail_async_hooks.ledger.pauses import add_pause, pauses, remove_pause
from wagtail_async_hooks.ledger.progress import goes_on, is_held, report
from wagtail_async_hooks.ledger.tasks import (
    LARGE,
    RETRIABLE,
    cancel,
    cancel_all,
    cancel_scheduled,
    delete,
    discard,
    ended,
    forget_user,
    insert,
    insert_many,
    newest,
    next_in_line,
    next_in_queue,
    promote_due,
    retry,
    under_way,
    unmerged,
)
from wagtail_async_hooks.ledger.workers import (
    alive,
    beat,
    hand_back,
    held_by,
    is_served,
    is_served_throughout,
    killed,
    oldest_alive,
    register_worker,
    release,
    rescue,
    silent_workers,
    stop_worker,
    without_worker,
    workers_beside,
)

__all__ = [
    "BATCH",
    "LARGE",
    "RETRIABLE",
    "DatabaseNow",
    "add_pause",
    "alive",
    "attempts",
    "beat",
    "cancel",
    "cancel_all",
    "cancel_scheduled",
    "database",
    "delete",
    "discard",
    "ended",
    "forget_user",
    "goes_on",
    "hand_back",
    "held_by",
    "info",
    "insert",
    "insert_many",
    "is_done",
    "is_held",
    "is_served",
    "is_served_throughout",
    "items",
    "items_to_tell_of",
    "keys_done",
    "killed",
    "newest",
    "next_in_line",
    "next_in_queue",
    "oldest_alive",
    "pauses",
    "promote_due",
    "prune",
    "prune_workers",
    "record_item",
    "register_worker",
    "release",
    "remove_pause",
    "report",
    "rescue",
    "retry",
    "silent_workers",
    "step",
    "stop_worker",
    "take_messages",
    "told_of",
    "under_way",
    "unmerged",
    "waits",
    "without_worker",
    "workers_beside",
]
