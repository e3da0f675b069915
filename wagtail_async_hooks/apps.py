"""The Django app: everything that is connected at start-up is named here."""

from __future__ import annotations

from django.apps import AppConfig


class WagtailAsyncHooksConfig(AppConfig):
    """Background tasks for Wagtail."""

    name = "wagtail_async_hooks"
    label = "wagtail_async_hooks"
    verbose_name = "Background tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from wagtail_async_hooks.checks import register_checks
        from wagtail_async_hooks.hooks import takeover
        from wagtail_async_hooks.serialization import arguments  # noqa: F401  (registers its codecs)
        from wagtail_async_hooks.signal_handlers import register_signal_handlers

        register_signal_handlers()
        takeover.connect()
        register_checks()
