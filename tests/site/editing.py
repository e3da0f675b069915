"""What the browser posts when somebody saves a post in the page editor."""

from typing import Any

from wagtail.test.utils.form_data import inline_formset, nested_form_data, rich_text, streamfield

from tests.site.blog.models import BlogPage


def form_data(page: BlogPage, *, publish: bool = False, **changes: Any) -> dict[str, str]:
    """
    Return the form of `page`, with a body of its own making and with `changes` to its fields.

    Post it to `wagtailadmin_pages:edit`. It publishes if asked to, and saves a draft otherwise.
    A page that is to be created needs a title, a slug and an introduction.
    """
    links = [
        {"id": link.pk, "title": link.title, "url": link.url} for link in page.related_links.all()
    ]
    fields = {
        "title": page.title,
        "slug": page.slug,
        "introduction": page.introduction,
        "date": page.date.isoformat(),
        "author": page.author_id or "",
        "feed_image": page.feed_image_id or "",
        "tags": ", ".join(f'"{tag}"' for tag in page.tags.all()),
        "body": streamfield(
            [
                ("heading", "At the water's edge"),
                ("paragraph", rich_text("<p>Low water is at noon, and so is lunch.</p>")),
            ]
        ),
        "related_links": inline_formset(links, initial=len(links)),
        **changes,
    }
    if publish:
        fields["action-publish"] = "action-publish"
    return nested_form_data(fields)
