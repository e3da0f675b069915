"""The mixin for bulk actions, under the path that sites import."""

from wagtail_async_hooks.integrations.bulk_actions import BackgroundBulkActionMixin

__all__ = ["BackgroundBulkActionMixin"]
