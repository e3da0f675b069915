"""Bulk actions of Wagtail's admin that run in a worker, each object in its own transaction."""

from wagtail_async_hooks.integrations.bulk_actions.views import BackgroundBulkActionMixin

__all__ = ["BackgroundBulkActionMixin"]
