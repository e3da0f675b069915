"""The shortest way through the admin, in a real browser: what `make test` looks at."""

from __future__ import annotations

import pytest

from tests.browser.desk import Desk
from tests.processes import wait_until

pytestmark = pytest.mark.slow


def test_publish__and_find_its_tasks_in_the_report(quick_desk: Desk) -> None:
    with quick_desk.as_user("admin") as page:
        quick_desk.publish(page)
        wait_until(
            lambda: quick_desk.count("function LIKE '%.write_static_copy' AND state = 'succeeded'"),
            "the hook has run",
        )
        page.goto("/admin/background-tasks/")
        assert "Write the static copy of" in page.content()
