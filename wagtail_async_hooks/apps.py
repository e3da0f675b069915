"""The Django app: everything that is connected at start-up is named here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register


class WagtailAsyncHooksConfig(AppConfig):
    """Background tasks for Wagtail."""

    name = "wagtail_async_hooks"
    label = "wagtail_async_hooks"
    verbose_name = "Background tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # They register themselves.
        from wagtail_async_hooks.hooks import takeover
        from wagtail_async_hooks.serialization import arguments  # noqa: F401
        from wagtail_async_hooks.signal_handlers import register_signal_handlers

        register_signal_handlers()
        takeover.connect()
        register(check, Tags.compatibility)
        register(check_database, Tags.database)


def check(**kwargs: Any) -> Iterator[CheckMessage]:
    """Run all system checks of the package."""
    # Not above: a web process runs none, and they need half of the package.
    from wagtail_async_hooks import checks
    from wagtail_async_hooks.checks import options, oversights
    from wagtail_async_hooks.hooks import takeover

    takeover.take_over()  # what the settings move is looked at as well
    for each in (*checks.CHECKS, *options.CHECKS, *oversights.CHECKS):
        yield from each(**kwargs)


def check_database(**kwargs: Any) -> Iterator[CheckMessage]:
    """Run the system checks that need a connection."""
    from wagtail_async_hooks.checks import oversights

    yield from oversights.check_migrations(**kwargs)
