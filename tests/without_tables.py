"""Work on a site that has the package installed and neither its tables nor a ``BACKEND``.

Run by ``tests/project/test_without_tables.py`` in a process and a database of its own.
"""

from __future__ import annotations

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.site.settings"
django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from tests.site.blog.models import BlogPage, ShareImage
from tests.site.editing import form_data


def main() -> None:
    """Take our tables away, then edit, publish and delete."""
    call_command("migrate", "wagtail_async_hooks", "zero", verbosity=0)
    call_command("seed", pages=2, verbosity=0)
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    first, second = BlogPage.objects.all()[:2]

    publish = form_data(first, publish=True, title="Published")
    assert (
        client.post(reverse("wagtailadmin_pages:edit", args=[first.pk]), publish).status_code == 302
    )
    assert ShareImage.objects.get(page=first).drawn_by_pid == os.getpid()
    first.refresh_from_db()
    assert first.title == "Published"

    assert client.post(reverse("wagtailadmin_pages:delete", args=[second.pk])).status_code == 302
    assert not BlogPage.objects.filter(pk=second.pk).exists()
    get_user_model().objects.get(username="editor").delete()

    ours = [t for t in connection.introspection.table_names() if "wagtail_async_hooks" in t]
    assert ours == [], ours
    print("all done")


main()
