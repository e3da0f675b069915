"""Something holds a lock on the ledger: a dump, a change of the table, a forgotten session."""

from __future__ import annotations

from tests import obstacles
from tests.faults.harness import Harness, Result, rows
from tests.faults.publishing import HOOK, PREFIX, PublishedPage, published_page
from tests.processes import wait_until


def ledger_locked(harness: Harness) -> Result:
    """Publish pages while the ledger is locked: they are published, and their hooks run."""
    worker = harness.ready_worker()
    times = harness.size.editors + 1
    with published_page() as page:
        hooks = page.publish(harness)
        wait_until(lambda: rows().exclude(hook="").count() == hooks, "every hook is recorded")
        harness.wait_until_done()
        for mode in ("SHARE", "ACCESS EXCLUSIVE"):
            with obstacles.locked(mode):
                for _ in range(times):
                    _publish_within_transaction(page, harness)
        hooks += page.publish(harness)
        harness.wait_until_done()
        run = rows().filter(hook=HOOK, state="succeeded").count()
        twice = rows().filter(hook=HOOK, attempt__gt=1).count()
    harness.stop_calmly(worker)
    return Result(hooks, run, twice, hooks - run)


def _publish_within_transaction(page: PublishedPage, harness: Harness) -> None:
    from django.db import transaction

    with transaction.atomic():
        page.publish(harness)
    title = page.page.title
    page.page.refresh_from_db()
    assert page.page.title == title, "the editor's change is gone"
    assert page.page.slug.startswith("a-post")
    assert page.home.slug.startswith(PREFIX)
