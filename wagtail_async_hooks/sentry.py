"""Sentry's integration with background tasks; needs the extra ``sentry``."""

from wagtail_async_hooks.integrations.sentry import BackgroundTasksIntegration

__all__ = ["BackgroundTasksIntegration"]
