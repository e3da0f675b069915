"""The blog's hooks: all of them run in the background, after the editor has the page back."""

from django.http import HttpRequest
from wagtail.models import DraftStateMixin, Page

from wagtail_async_hooks import hooks, went_live

from . import digest, share_image, static_copy, webhook
from .models import BlogPage

NO_ANSWER = {OSError: "The webhook does not answer."}
"""What an error means, for editors."""


@hooks.register("after_publish_page", background=True, title="Draw the share image of “{page}”")
def draw_share_image(request: HttpRequest, page: Page) -> None:
    """Draw the picture that social media show for the page."""
    share_image.draw(page, drawn_for=request.user.get_username())


@hooks.register("after_publish_page", background=True, title="Write the static copy of “{page}”")
def write_static_copy(request: HttpRequest, page: Page) -> None:
    """Keep a plain file for the time when the site itself is down."""
    static_copy.write(page)


@hooks.register("after_unpublish_page", background=True, title="Remove the static copy of “{page}”")
@hooks.register("after_delete_page", background=True, title="Remove the static copy of “{page}”")
def remove_static_copy(request: HttpRequest, page: Page) -> None:
    """Take the plain file of a page away together with the page."""
    static_copy.remove(page.pk)


@hooks.register("after_publish_page", background=True, title="Count the words of “{page}”")
@hooks.register("after_edit_page", background=True, title="Count the words of “{page}”")
def keep_text_digest(request: HttpRequest, page: Page) -> None:
    """Count the words of a post, for its reading time."""
    if isinstance(page, BlogPage):
        digest.keep(page)


@hooks.register(
    "after_publish_page",
    background=True,
    title="Tell the webhook about “{page}”",
    explain=NO_ANSWER,
)
def announce_page(request: HttpRequest, page: Page) -> None:
    """Tell the webhook about the page, unless it is only scheduled to go live later."""
    if went_live(page):
        webhook.announce("page_published", page, username=request.user.get_username())


@hooks.register(
    "after_publish", background=True, title="Tell the webhook about “{instance}”", explain=NO_ANSWER
)
def announce_snippet(request: HttpRequest, instance: DraftStateMixin) -> None:
    """Tell the webhook about the snippet, unless it is only scheduled to go live later."""
    if went_live(instance):
        webhook.announce("snippet_published", instance, username=request.user.get_username())
