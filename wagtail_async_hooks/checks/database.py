"""System checks of the database that holds the ledger."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router

from wagtail_async_hooks import conf
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.utils.database import pools, sqlite


def check_database(**kwargs: Any) -> list[CheckMessage]:
    """A ledger in another database than the pages."""
    if not conf.current().backend:
        return []
    ledger = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    pages = router.db_for_write(apps.get_model("wagtailcore", "Page"))
    if ledger == pages:
        return []
    return [
        checks.Warning(
            f"Background tasks are written to the database {ledger!r}, pages to {pages!r}: a task "
            "is lost if the process dies between the two commits.",
            hint="Let DATABASE_ROUTERS send the app wagtail_async_hooks where pages go.",
            id="wagtail_async_hooks.W001",
        )
    ]


def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """An SQLite database without the options that a worker beside the site needs."""
    if not conf.current().backend:
        return []
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if connections[alias].vendor != "sqlite":
        return []
    missing = sqlite.missing(connections[alias].settings_dict["OPTIONS"])
    if not missing:
        return []
    return [
        checks.Warning(
            f"The SQLite database {alias!r} is not set up for a worker beside the site, so an "
            f'editor may see "database is locked"; it lacks {" and ".join(missing)}.',
            hint=sqlite.remedy(alias),
            id="wagtail_async_hooks.W005",
        )
    ]


def check_migrations(
    databases: Collection[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """A ledger's database that was not migrated, or was migrated by a newer release.

    Only with ``check --database …``, as all checks that need a connection.
    """
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if not conf.current().backend or alias not in (databases or ()):
        return
    if sys.argv[1:2] == ["migrate"]:
        return  # it runs this check first, and is the remedy
    try:
        standing = migrated.standing_of(connections[alias])
    except DatabaseError:
        return  # Django's own checks say so
    if standing.missing:
        yield checks.Warning(
            migrated.told_of_missing(alias, standing.missing),
            hint="Until then, no worker starts, and background functions run in the request.",
            id="wagtail_async_hooks.W017",
        )
    if standing.newer:
        yield checks.Warning(
            migrated.told_of_newer(alias, standing.newer),
            hint="Install the release that the database was migrated for, or migrate back with it.",
            id="wagtail_async_hooks.W018",
        )


def check_pool(**kwargs: Any) -> Iterator[CheckMessage]:
    """A pool of connections that is too small for the site's workers."""
    settings = conf.current()
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if settings.backend and (problem := pools.why_too_small(alias, settings.worker.threads)):
        yield checks.Warning(
            f"{problem}.",
            hint=f'Or let {conf.SETTING}["WORKER"]["threads"] be smaller. Each process of a worker '
            "has a pool of its own.",
            id="wagtail_async_hooks.W042",
        )
