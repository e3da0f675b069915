"""Wagtail imports this in every process that has the app."""

from wagtail import hooks

from tests.neighbour.caching import ping, purge

hooks.register("after_publish_page", purge, order=50)
hooks.register("after_unpublish_page", ping)


@hooks.register("after_move_page", order=-5)
def moved(request: object, page: object) -> None:
    """Registered where it is defined."""
