"""The job backend for wagtail-localize, under the path that settings name."""

from wagtail_async_hooks.integrations.localize import BackgroundJobBackend

__all__ = ["BackgroundJobBackend"]
