"""The mixin, with Django's two classes: each test is one of a site author's."""

from __future__ import annotations

import datetime

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from tests.work import tasks
from wagtail_async_hooks.testing import BackgroundTaskFailed, BackgroundTasksMixin


class Cases(BackgroundTasksMixin):
    """What is the same with and without a transaction around the test."""

    def test_run_background_tasks(self) -> None:
        tasks.add(1, 2)

        assert [task.state for task in self.background_tasks.recorded] == ["waiting"]
        assert [task.result for task in self.run_background_tasks()] == [3]

    def test_run_background_tasks__a_failure(self) -> None:
        tasks.fail("no luck")

        with pytest.raises(BackgroundTaskFailed):
            self.run_background_tasks()
        tasks.fail("no luck")
        [failed] = self.run_background_tasks(raise_errors=False)
        assert failed.error == "no luck"

    def test_assertions(self) -> None:
        tasks.add(1, 2)

        [task] = self.assertTaskEnqueued(tasks.add, 1, b=2, times=1)
        assert task.arguments == {"a": 1, "b": 2}
        self.assertTaskNotEnqueued(tasks.fail)
        self.assertHookNotDispatched("after_publish_page")
        with pytest.raises(self.failureException):
            self.assertHookDispatched("after_publish_page")

    def test_time(self) -> None:
        tasks.add.schedule((1, 2), delay=3600)
        tasks.add.schedule((3, 4), delay=7200)

        self.advance(3601)
        assert [task.result for task in self.run_background_tasks()] == [3]
        self.travel_to(timezone.now() + datetime.timedelta(hours=3))
        assert [task.result for task in self.run_background_tasks()] == [7]


class TestInATransaction(Cases, TestCase):
    """With ``TestCase``."""

    def test_everything_is_in_the_transaction(self) -> None:
        tasks.add(1, 2)

        assert connection.in_atomic_block
        self.run_background_tasks()

    async def test_async(self) -> None:
        await sync_to_async(tasks.add)(1, 2)

        [task] = await sync_to_async(self.run_background_tasks)()
        assert task.result == 3


@pytest.mark.usefixtures("committed_db")
class TestWithCommits(Cases, TransactionTestCase):
    """With ``TransactionTestCase``."""

    def _fixture_teardown(self) -> None:
        """Keep what migrations have put into the tables: other tests need it."""

    def test_everything_is_committed(self) -> None:
        tasks.add(1, 2)

        assert not connection.in_atomic_block
        self.run_background_tasks()
        assert [task.state for task in self.background_tasks.recorded] == ["succeeded"]
