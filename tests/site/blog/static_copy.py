"""Keeps a plain HTML file of every page that is live and open to everybody."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory
from wagtail.models import Page


def path_of(pk: int) -> Path:
    """Return where the copy of the page with this primary key belongs."""
    return settings.SITE_STATIC_COPIES / f"{pk}.html"


def write(page: Page) -> None:
    """Write the page as a visitor gets it, or remove the copy of a page not open to all."""
    if page.live and page.full_url and not page.get_view_restrictions().exists():
        replace(path_of(page.pk), render(page))
    else:
        remove(page.pk)


def remove(pk: int) -> None:
    """Remove the copy of a page, if there is one."""
    path_of(pk).unlink(missing_ok=True)


def render(page: Page) -> bytes:
    """Return the HTML that a visitor gets for `page`."""
    response = page.serve(visitor_request(page.full_url))
    return response.render().content


def visitor_request(url: str) -> HttpRequest:
    """Return the request of somebody who is not logged in."""
    parts = urlsplit(url)
    request = RequestFactory().get(
        parts.path, secure=parts.scheme == "https", headers={"host": parts.netloc}
    )
    request.user = AnonymousUser()
    return request


def replace(path: Path, content: bytes) -> None:
    """Write `path` in one step, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
