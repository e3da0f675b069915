"""The demo, as somebody who has just cloned the project uses it: by HTTP, with a real worker."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection

from tests import limits
from tests.faults.servers import free_port
from tests.processes import Process, wait_until
from tests.site.blog.models import BlogPage
from tests.site.blog.seeding import pictures
from tests.site.editing import form_data

UP = 3 * limits.PATIENCE
"""Seconds within which the demo has made its site, its pages and pictures; it may hang."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the demo's database is SQLite"),
]

HOOK_DELAY = 3
"""Seconds that the share image's hook takes: long enough for a response to come before."""


class Demo:
    """A running demo, and somebody who is logged in to it."""

    def __init__(self, folder: Path, stdin: int = subprocess.DEVNULL, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = Process(
            [sys.executable, "scripts/demo.py"],
            folder / f"output-{self.port}.txt",
            stdin=stdin,
            PORT=str(self.port),
            SITE_DATA=str(folder),
            SITE_DATABASE="sqlite",
            SITE_DATABASE_NAME=str(folder / "site.sqlite3"),
            DJANGO_SETTINGS_MODULE="tests.site.settings",
            **{"SITE_HOOK_DELAY": str(HOOK_DELAY), "TMPDIR": str(folder), **environment},
        )
        self.session = requests.Session()

    def log_in(self, username: str) -> None:
        """Log in to Wagtail's admin."""
        self.post("/admin/login/", {"username": username, "password": "demo"})

    def post(
        self, path: str, data: dict[str, str], files: dict[str, Any] | None = None
    ) -> requests.Response:
        """Post a form as a browser would, after its page was loaded; follow no redirect."""
        self.session.get(self.url + path, timeout=limits.PATIENCE).raise_for_status()
        token = self.session.cookies["csrftoken"]
        data = {**data, "csrfmiddlewaretoken": token}
        response = self.session.post(
            self.url + path, data, files=files, allow_redirects=False, timeout=limits.PATIENCE
        )
        assert response.status_code == 302, f"{path}: {response.status_code}"
        return response

    def publish(self, title: str) -> int:
        """Make a page and publish it; return its primary key."""
        home = self.row("SELECT page_ptr_id AS pk FROM blog_homepage")
        assert home is not None
        page = BlogPage(title=title, slug=title.lower().replace(" ", "-"), introduction="News.")
        form = form_data(page, publish=True)
        self.post(f"/admin/pages/add/blog/blogpage/{home['pk']}/", form)
        made = self.row("SELECT id FROM wagtailcore_page WHERE title = ?", title)
        assert made is not None
        pk: int = made["id"]
        return pk

    def task_about(self, function: str, pk: int) -> dict[str, Any]:
        """Return the row of the task of a hook function that is about a page."""
        task = self.task(function)
        assert task is not None
        assert task["subject_id"] == str(pk)
        return task

    def kill(self, name: str) -> None:
        """Kill a process of the demo as its text says, or that which has taken its place."""
        said = self.process.said()
        pattern = rf"{name} \(kill -9 (\d+)\)|{name} runs again, as process (\d+)"
        first, again = re.findall(pattern, said)[-1]
        os.kill(int(first or again), signal.SIGKILL)

    def search(self, text: str) -> str:
        """Return what Wagtail's search of pages answers."""
        response = self.session.get(
            f"{self.url}/admin/pages/search/results/?q={text}", timeout=limits.PATIENCE
        )
        response.raise_for_status()
        return response.text

    def row(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        """Return the first row that a query finds in the demo's database."""
        with sqlite3.connect(f"file:{self.folder / 'site.sqlite3'}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            row = database.execute(query, parameters).fetchone()
        database.close()
        return None if row is None else dict(row)

    def task(self, function: str) -> dict[str, Any] | None:
        """Return the row of the newest task of a hook function of the demo's."""
        return self.row(
            "SELECT task.*, user.username, type.model FROM wagtail_async_hooks_backgroundtask task "
            "LEFT JOIN auth_user user ON user.id = task.user_id "
            "LEFT JOIN django_content_type type ON type.id = task.subject_type_id "
            "WHERE function = ? ORDER BY task.id DESC",
            f"tests.site.blog.wagtail_hooks.{function}",
        )


@pytest.fixture(scope="module")
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: its end where somebody types, and its end that a process reads."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, terminal: tuple[int, int]) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"), stdin=terminal[1])
    with demo.process:
        demo.process.wait_for("The site is up", UP)
        demo.log_in("editor")
        yield demo


def test_start__without_a_word_of_the_checks(demo: Demo) -> None:
    assert "wagtail_async_hooks." not in demo.process.said().partition("The site is up")[0]


def test_publish__the_editor_does_not_wait_for_the_hook(demo: Demo, committed_db: None) -> None:
    home = demo.row("SELECT page_ptr_id AS pk FROM blog_homepage")
    assert home is not None
    draft = BlogPage(title="Tide tables", slug="tide-tables", introduction="When to be there.")
    created = demo.post(f"/admin/pages/add/blog/blogpage/{home['pk']}/", form_data(draft))
    found = re.search(r"/pages/(\d+)/edit/", created.headers["Location"])
    assert found is not None
    pk = int(found[1])
    assert demo.task("draw_share_image") is None, "nothing is published yet"

    published = demo.post(
        f"/admin/pages/{pk}/edit/", form_data(draft, publish=True, title="Tide tables, corrected")
    )

    task = demo.task("draw_share_image")
    assert task is not None
    assert task["state"] in ("waiting", "running")
    assert task["finished_at"] is None, "the response came before the hook ended"
    assert published.elapsed.total_seconds() < HOOK_DELAY
    assert (task["hook"], task["username"]) == ("after_publish_page", "editor")
    assert (task["model"], task["subject_id"]) == ("blogpage", str(pk))
    assert task["title"] == "Draw the share image of “Tide tables, corrected”"

    wait_until(lambda: demo.task("draw_share_image")["state"] == "succeeded", "the hook succeeded")
    image = demo.row("SELECT * FROM blog_shareimage WHERE page_id = ?", pk)
    worker = demo.row("SELECT pid FROM wagtail_async_hooks_worker")
    assert image is not None
    assert worker is not None
    assert image["drawn_by_pid"] == worker["pid"]
    assert re.search(r"web \| .*POST /admin/pages", demo.process.said())
    assert (image["page_class"], image["drawn_for"]) == ("BlogPage", "editor")
    assert (demo.folder / "media" / image["file"]).stat().st_size > 0
    wait_until(lambda: demo.task("write_static_copy")["state"] == "succeeded", "the copy is there")
    assert "Tide tables, corrected" in (demo.folder / "static_copies" / f"{pk}.html").read_text()
    wait_until(lambda: demo.task("announce_page")["state"] == "succeeded", "the webhook was called")
    assert "Tide tables, corrected" in (demo.folder / "deliveries.jsonl").read_text()
    wait_until(lambda: "Tide tables, corrected" in demo.search("corrected"), "it is found")


def test_upload__the_sizes_that_the_templates_show_are_made_ahead(demo: Demo) -> None:
    file = {"file": ("hills.jpg", pictures.draw("Mist"), "image/jpeg")}
    demo.post("/admin/images/add/", {"title": "Hills in mist"}, file)
    image = demo.row("SELECT id FROM wagtailimages_image WHERE title = 'Hills in mist'")
    assert image is not None
    made = "SELECT count(*) AS count FROM wagtailimages_rendition WHERE image_id = ?"
    made += " AND filter_spec IN ('fill-480x270', 'fill-1520x640', 'width-760')"
    wait_until(lambda: demo.row(made, image["id"])["count"] == 3, "the renditions are there")


def test_delete__the_hook_gets_the_page_that_is_gone(demo: Demo) -> None:
    page = demo.row(
        "SELECT id FROM wagtailcore_page WHERE depth > 3 OR slug LIKE 'forty-%' ORDER BY id"
    )
    assert page is not None
    copy = demo.folder / "static_copies" / f"{page['id']}.html"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text("an old copy")
    demo.post(f"/admin/pages/{page['id']}/delete/", {})
    wait_until(lambda: not copy.exists(), "the copy was removed")


def test_worker__dies_and_its_tasks_wait(
    demo: Demo, terminal: tuple[int, int], committed_db: None
) -> None:
    demo.kill("worker")
    said = r"The worker died \(killed by SIGKILL\): .+ wait in the database .+\. Press Enter"
    demo.process.wait_for(said)
    pk = demo.publish("The ferry is late")
    assert demo.task_about("write_static_copy", pk)["state"] == "waiting"

    os.write(terminal[0], b"\n")
    demo.process.wait_for("The worker runs again")
    wait_until(
        lambda: demo.task_about("write_static_copy", pk)["state"] == "succeeded",
        "the new worker runs what has waited",
    )
    wait_until(
        lambda: demo.task_about("announce_page", pk)["state"] == "succeeded", "it is announced"
    )


def test_webhook__dies_and_the_editor_reads_why(
    demo: Demo, terminal: tuple[int, int], committed_db: None
) -> None:
    demo.kill("webhook")
    said = r"The webhook died \(killed by SIGKILL\): .+ fails with a reason .+\. Press Enter"
    demo.process.wait_for(said)
    pk = demo.publish("The market is moved")
    wait_until(lambda: demo.task_about("announce_page", pk)["state"] == "failed", "it fails")
    task = demo.task_about("announce_page", pk)
    assert task["title"] == "Tell the webhook about “The market is moved”"
    assert task["explanation"] == "The webhook does not answer."

    os.write(terminal[0], b"\n")
    demo.process.wait_for("The webhook runs again")
    pk = demo.publish("The market is back")
    wait_until(lambda: demo.task_about("announce_page", pk)["state"] == "succeeded", "it is sent")


def test_stop__ends_all_and_a_second_start_keeps_the_data(demo: Demo) -> None:
    demo.process.send(signal.SIGTERM)
    assert demo.process.wait() == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(demo.url, timeout=5)
    again = Demo(demo.folder)
    with again.process:
        again.process.wait_for("The site is up", UP)
        assert again.row("SELECT 1 FROM wagtailcore_page WHERE slug = 'tide-tables'")

        again.kill("worker")
        again.process.wait_for("The worker died .+ It is started again")  # nobody is at a terminal
        again.process.wait_for("The worker runs again")
        again.process.wait_for(r"(?s)runs again.+worker \| ")


def test_embedded__the_web_process_runs_the_hooks(tmp_path: Path) -> None:
    demo = Demo(tmp_path, SITE_EMBEDDED="1", SITE_HOOK_DELAY="0")
    with demo.process:
        demo.process.wait_for("The site is up", UP)
        demo.log_in("moderator")
        file = {"file": ("hills.jpg", pictures.draw("Mist"), "image/jpeg")}
        demo.post("/admin/images/add/", {"title": "Hills in mist"}, file)
        image = demo.row("SELECT id FROM wagtailimages_image WHERE title = 'Hills in mist'")
        assert image is not None
        made = "SELECT count(*) AS count FROM wagtailimages_rendition WHERE image_id = ?"
        wait_until(lambda: demo.row(made, image["id"])["count"] >= 3, "the renditions are there")
        demo.process.wait_for(r"web \| .*runs the embedded worker")
        demo.process.wait_for(r"web \| .* succeeded after")
    assert "worker |" not in demo.process.said()
    assert "W047" not in demo.process.said()


def test_port__in_use_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        process = Process(
            [sys.executable, "scripts/demo.py"],
            tmp_path / "output.txt",
            PORT=port,
            SITE_DATA=str(tmp_path),
        )
        with process:
            assert process.wait() == 1
    assert process.said() == (
        f"Port {port} is in use; choose another one, for example: PORT=8123 make demo\n"
    )
