"""Tests of the blog's background functions, as the author of a site writes them.

The page “Testing” of the documentation shows parts of this file, word by word.
"""

import pytest
from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings
from django.urls import reverse
from wagtail.models import Page

from wagtail_async_hooks.testing import BackgroundTaskFailed, BackgroundTasksMixin

from . import static_copy
from .models import Author, BlogPage
from .tasks import rebuild_text_digests
from .wagtail_hooks import keep_text_digest, remove_static_copy


class TestUnpublish(BackgroundTasksMixin, TestCase):
    """What an editor sets off who takes a post off the site."""

    def setUp(self):
        super().setUp()
        self.editor = get_user_model().objects.create_superuser("editor")
        self.client.force_login(self.editor)
        home = Page.objects.get(depth=2)
        self.page = home.add_child(instance=BlogPage(title="Tides", introduction="High water"))

    def unpublish(self):
        self.client.post(reverse("wagtailadmin_pages:unpublish", args=[self.page.pk]))

    def test_static_copy_is_removed(self):
        copy = static_copy.path_of(self.page.pk)
        static_copy.replace(copy, b"High water at noon")

        self.unpublish()
        self.assertHookDispatched(
            "after_unpublish_page",
            page=self.page,
            user=self.editor,
            function=remove_static_copy,
        )
        self.assertHookNotDispatched("after_unpublish_page", function=keep_text_digest)
        assert copy.exists()  # nothing has run yet

        self.run_background_tasks()
        assert not copy.exists()

    def test_nothing_happens_to_a_page_that_is_not_live(self):
        self.page.live = False
        self.page.save()

        self.unpublish()
        self.assertHookNotDispatched("after_unpublish_page")


@override_settings(SITE_WEBHOOK_URL="http://127.0.0.1:9/nobody-is-there")
class TestWebhook(BackgroundTasksMixin, TestCase):
    """What happens if the webhook does not answer."""

    def setUp(self):
        super().setUp()
        self.client.force_login(get_user_model().objects.create_superuser("editor"))
        author = Author.objects.create(name="Ada", live=False)
        author.save_revision()
        url = reverse("wagtailsnippets_blog_author:edit", args=[author.pk])
        self.client.post(url, {"name": "Ada L.", "action-publish": "yes"})

    def test_failure(self):
        with pytest.raises(BackgroundTaskFailed, match="announce_snippet"):
            self.run_background_tasks()

    def test_what_ran(self):
        ran = self.run_background_tasks(raise_errors=False)

        [failed] = [task for task in ran if task.hook == "after_publish"]
        assert failed.state == "failed"
        assert "Connection refused" in failed.error
        assert failed.attempt == 1  # it is not tried again


def test_digests_are_rebuilt_at_night(background_tasks):
    rebuild_text_digests.schedule(delay=8 * 3600)

    background_tasks.assert_task_enqueued(rebuild_text_digests, times=1)
    assert background_tasks.run() == []  # it is not due
    background_tasks.advance(8 * 3600)
    [task] = background_tasks.run()
    assert (task.state, task.result) == ("succeeded", BlogPage.objects.live().count())
