"""The Django app: everything that is connected at start-up is named here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from wagtail_async_hooks.chores import Chore
    from wagtail_async_hooks.worker.identity import Registration


class WagtailAsyncHooksConfig(AppConfig):
    """Background tasks for Wagtail."""

    name = "wagtail_async_hooks"
    label = "wagtail_async_hooks"
    verbose_name = "Background tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from wagtail_async_hooks import chores
        from wagtail_async_hooks.checks import register_checks
        from wagtail_async_hooks.hooks import takeover
        from wagtail_async_hooks.serialization import arguments  # noqa: F401  (registers its codecs)
        from wagtail_async_hooks.signal_handlers import register_signal_handlers

        register_signal_handlers()
        takeover.connect()
        register_checks()
        chores.add(_watch)
        self._connect_extras()

    @staticmethod
    def _connect_extras() -> None:
        """Connect what the settings ask for; nothing else imports that, nor the extras it needs."""
        from wagtail_async_hooks import conf
        from wagtail_async_hooks.conf.parsing import is_installed

        if conf.current().backend == conf.CELERY and is_installed(conf.CELERY):
            from wagtail_async_hooks.worker import celery_tasks  # noqa: F401  (Celery's task)
        if conf.current().worker.embedded:
            from wagtail_async_hooks.worker.embedded import process

            process.connect()
        if conf.current().prometheus:
            from wagtail_async_hooks.monitoring import prometheus

            prometheus.connect()
        if conf.current().opentelemetry:
            from wagtail_async_hooks.monitoring import opentelemetry

            opentelemetry.connect()


def _watch(worker: Registration) -> Chore | None:
    """Have a worker tell of what is wrong, if somebody is to be told."""
    from wagtail_async_hooks import conf

    if not conf.current().alerts.to:
        return None
    from wagtail_async_hooks.monitoring.alerts import watching

    return watching.make(worker)
