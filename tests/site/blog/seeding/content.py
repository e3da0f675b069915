"""Makes the demo's content: images, snippets, settings and pages."""

import json
import random
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction
from django.utils.text import slugify
from wagtail.images import get_image_model
from wagtail.models import Collection, Locale, Page, Site

from ..models import Advert, Author, BlogPage, ContactSettings, HomePage, RelatedLink
from . import pictures, text, users

NEWEST = date(2026, 9, 30)
DAYS_BETWEEN_POSTS = 4


def seed(pages: int) -> bool:
    """Fill an empty site, entirely or not at all; return False if it was filled before."""
    if HomePage.objects.exists():
        return False
    with transaction.atomic():
        make_roots()
        users.make()
        home = make_home()
        make_snippets()
        images = make_images()
        for number, (topic, title) in enumerate(articles()[:pages]):
            make_post(home, number, topic, title, images)
    return True


def articles() -> list[tuple[text.Topic, str]]:
    """Return all titles with their topics: the first of every topic, then the second, ..."""
    rounds = zip(*(topic.titles for topic in text.TOPICS), strict=True)
    return [pair for titles in rounds for pair in zip(text.TOPICS, titles, strict=True)]


def make_roots() -> None:
    """Make what Wagtail's own migrations leave behind, for a database that has been flushed."""
    Locale.objects.get_or_create(language_code=settings.LANGUAGE_CODE)
    if Page.get_first_root_node() is None:
        Page.add_root(instance=Page(title="Root", slug="root"))
    if Collection.get_first_root_node() is None:
        Collection.add_root(name="Root")


def make_home() -> HomePage:
    """Make the front page, and the default site's root of it, instead of Wagtail's welcome."""
    root = Page.get_first_root_node()
    Page.objects.child_of(root).filter(slug="home").delete()
    root.refresh_from_db()
    home = root.add_child(
        instance=HomePage(
            title="News from Saltmarsh",
            slug="home",
            introduction="A small town's paper: harbour, gardens, kitchen, weather and the rest.",
        )
    )
    home.save_revision().publish()
    site, _ = Site.objects.update_or_create(
        is_default_site=True,
        defaults={"site_name": settings.WAGTAIL_SITE_NAME, "root_page": home},
    )
    ContactSettings.objects.create(
        site=site, email="desk@saltmarsh.example", address="3 Quay Street, Saltmarsh"
    )
    return home


def update_address() -> None:
    """Tell Wagtail where the site answers, which may have changed since it was filled."""
    address = urlsplit(settings.SITE_URL)
    site = Site.objects.get(is_default_site=True)
    site.hostname, site.port = address.hostname, address.port or 80
    site.save()


def make_snippets() -> None:
    """Make the authors, published, and the adverts."""
    for name, (role, biography) in text.AUTHORS.items():
        author = Author.objects.create(name=name, role=role, biography=biography)
        author.save_revision().publish()
    for words, url in text.ADVERTS.items():
        Advert.objects.create(text=words, url=url)


def make_images() -> list[Any]:
    """Draw the pictures, and return them as Wagtail's images."""
    return [
        get_image_model().objects.create(
            title=title,
            description=description,
            file=ContentFile(pictures.draw(title), name=f"{slugify(title)}.jpg"),
        )
        for title, (description, *_) in pictures.PICTURES.items()
    ]


def make_post(
    home: HomePage, number: int, topic: text.Topic, title: str, images: list[Any]
) -> None:
    """Make one post and publish it, with a revision, as the page editor would."""
    chance = random.Random(title)
    page = home.add_child(
        instance=BlogPage(
            title=title,
            slug=slugify(title),
            introduction=topic.titles[title],
            date=NEWEST - number * timedelta(DAYS_BETWEEN_POSTS),
            author=chance.choice(Author.objects.all()),
            feed_image=images[number % len(images)],
            body=json.dumps(body(topic, chance, images[(number + 2) % len(images)])),
            related_links=[
                RelatedLink(title=words, url=text.LINKS[words])
                for words in chance.sample(list(text.LINKS), 2)
            ],
        )
    )
    page.tags.add(*topic.tags)
    page.save_revision().publish()


def body(topic: text.Topic, chance: random.Random, image: Any) -> list[dict[str, Any]]:
    """Return the blocks of a post's body."""
    sentences = chance.sample(topic.sentences, 9)
    first_heading, second_heading = chance.sample(topic.headings, 2)
    words, source = chance.choice(list(topic.quotes.items()))
    picture = {"image": image.pk, "decorative": False, "alt_text": image.description}
    blocks = [
        ("paragraph", f"<p>{' '.join(sentences[:3])}</p>"),
        ("heading", first_heading),
        ("paragraph", f"<p>{' '.join(sentences[3:6])}</p>"),
        ("quote", {"text": words, "source": source}),
        ("heading", second_heading),
        ("image", {"image": picture, "caption": f"{image.title}. Picture: the paper's archive"}),
        ("paragraph", f"<p>{' '.join(sentences[6:])}</p>"),
    ]
    return [{"type": kind, "value": value} for kind, value in blocks]
