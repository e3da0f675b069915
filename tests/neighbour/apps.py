"""The package's app: it connects its receivers when it is ready, as most packages do."""

from __future__ import annotations

from django.apps import AppConfig


class NeighbourConfig(AppConfig):
    """The neighbour's app."""

    name = "tests.neighbour"
    label = "neighbour"

    def ready(self) -> None:
        from django.db.models.signals import post_delete
        from wagtail.signals import page_published

        from tests.neighbour import caching
        from tests.site.blog.models import Advert

        page_published.connect(caching.fresh)
        post_delete.connect(caching.gone, sender=Advert, dispatch_uid="neighbour.gone")
