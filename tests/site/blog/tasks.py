"""Background tasks that no hook starts, but somebody by hand."""

from wagtail_async_hooks import background

from . import digest
from .models import BlogPage


@background.task()
def rebuild_text_digests() -> int:
    """Count the words of all live posts again, and return how many posts there are."""
    pages = BlogPage.objects.live()
    for page in pages.iterator(chunk_size=100):
        digest.keep(page)
    return pages.count()


@background.task()
def report_digests(pages: int) -> str:
    """Say how many posts there are."""
    return f"{pages} posts have a digest."
