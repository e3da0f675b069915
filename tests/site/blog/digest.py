"""Works out what the text of a post comes to."""

import hashlib

from django.utils import timezone
from django.utils.text import Truncator

from .models import BlogPage, TextDigest


def keep(page: BlogPage) -> TextDigest:
    """Store the digest of the text that `page` has now."""
    text = text_of(page)
    text_digest, _ = TextDigest.objects.update_or_create(
        page_id=page.pk,
        defaults={
            "words": len(text.split()),
            "excerpt": Truncator(text).words(40),
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "updated_at": timezone.now(),
        },
    )
    return text_digest


def text_of(page: BlogPage) -> str:
    """Return the introduction and the body as plain text, as the search index sees them."""
    body = page.body.stream_block.get_searchable_content(page.body)
    return "\n".join([page.introduction, *map(str, body)])
