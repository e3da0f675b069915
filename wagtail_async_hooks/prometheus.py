"""Metrics for Prometheus; needs the extra ``prometheus``."""

from wagtail_async_hooks.monitoring.prometheus import LedgerCollector, metrics

__all__ = ["LedgerCollector", "metrics"]
