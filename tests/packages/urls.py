"""Addresses, beside which a function is registered: only processes that answer requests do so."""

from wagtail import hooks

from tests.neighbour.caching import purge
from tests.site.urls import urlpatterns

__all__ = ["urlpatterns"]

hooks.register("after_copy_page", purge)
