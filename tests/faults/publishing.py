"""Publishing pages, hooks included, while other things happen; one fault of it by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.harness import Harness, Result, rows
from tests.processes import PATIENCE, wait_until

HOOK = "after_publish_page"
PREFIX = "fault-"


class PublishedPage:
    """A post that an editor publishes again and again."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model
        from django.test import RequestFactory
        from wagtail.models import Page

        from tests.site.blog.models import BlogPage, HomePage

        name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
        self.user = get_user_model().objects.create_superuser(name, f"{name}@example.com", "demo")
        self.request = RequestFactory().post("/admin/")
        self.request.user = self.user
        root: Any = Page.objects.filter(depth=1).get()
        home: Any = root.add_child(instance=HomePage(title=name, slug=name))
        self.home = home
        self.page: Any = home.add_child(
            instance=BlogPage(title="A post", slug="a-post", introduction="About faults")
        )

    def publish_once(self) -> int:
        """Do what Wagtail's view does; return how many background hooks there are."""
        from wagtail import hooks

        self.page.title = f"A post, {uuid.uuid4()}"
        self.page.save_revision(user=self.user).publish(user=self.user)
        functions = hooks.get_hooks(HOOK)
        for function in functions:
            function(self.request, self.page)
        return len(functions)

    def publish(self, harness: Harness) -> int:
        """Publish, and see that the editor need not wait."""
        with harness.at_once():
            return self.publish_once()


@contextmanager
def published_page() -> Iterator[PublishedPage]:
    """Make a page to be published; it is deleted afterwards."""
    try:
        yield PublishedPage()
    finally:
        delete_pages()


def delete_pages() -> None:
    """Delete what editors have made, in this process and in others."""
    from django.contrib.auth import get_user_model
    from wagtail.models import Page

    for home in Page.objects.filter(slug__startswith=PREFIX, depth=2):
        Page.objects.get(pk=home.pk).delete()  # deleting one moves the numbers of the others
    get_user_model().objects.filter(username__startswith=PREFIX).delete()


def many_editors(harness: Harness) -> Result:
    """Have several processes publish pages while a worker with four threads drains."""
    try:
        return _publish_at_once(harness)
    finally:
        delete_pages()


def _publish_at_once(harness: Harness) -> Result:
    worker = harness.ready_worker()
    seconds = f"{harness.size.publishing:g}"
    publishers = [
        harness.start("tests.faults.publisher", seconds) for _ in range(harness.size.publishers)
    ]
    hooks = 0
    for publisher in publishers:
        code = publisher.wait(harness.size.publishing + PATIENCE)
        said = publisher.said()
        assert code == 0, said
        assert "Traceback" not in said, said
        assert "locked" not in said, said
        hooks += int(publisher.wait_for(r"published \d+ times, (\d+) hooks")[1])
    wait_until(lambda: rows().exclude(hook="").count() == hooks, "every hook is recorded")
    harness.wait_until_done(patience=600)
    harness.stop_calmly(worker)
    said = worker.said()
    assert "Traceback" not in said, said
    assert "locked" not in said, said
    found = rows().exclude(hook="")
    run = found.filter(state="succeeded").count()
    return Result(hooks, run, found.filter(attempt__gt=1).count(), hooks - run)
