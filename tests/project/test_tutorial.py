"""The tutorial: what its page shows is done, by a newcomer with a browser and some terminals.

A comment before a block of ``docs/tutorial.md`` says what the block is: ``<!-- tutorial: sh -->``
commands, ``write``, ``append`` and ``replace`` with the path of a file, and ``output`` lines that
the command before has printed. ``replace`` replaces the line that begins with the same name.
Commands run in a shell, in a new folder, with this environment's Python in place of the one that
the page installs, and on ports that are free. What only people can do is done by the test.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import requests
from django.db import connection

from tests import limits
from tests.faults.servers import free_port
from tests.processes import Process, wait_until
from tests.project.test_docs import DOCS, REPOSITORY, project

PAGE: Final = DOCS / "tutorial.md"
NAME: Final = "ada"
PASSWORD: Final = "a password of some length"  # of a site that ends with the test

STARTED: Final = {
    "python chat.py": r"The chat waits",
    "python manage.py runserver": r"Watching for file changes",
    "python manage.py wagtail_worker": r"Worker \d+ starts",
}
"""Commands that run until they are stopped, and what they print whenever they have started."""

CHAT, SITE, WORKER = STARTED


class Step(NamedTuple):
    """A block of the page, and the heading above it."""

    section: str
    kind: str
    path: str
    code: str


def read() -> Iterator[Step]:
    """Return the page's blocks, in order; without a kind where there is no comment."""
    block = re.compile(
        r"^## (?P<section>[^\n]+)$|"
        r"(?:^<!-- tutorial: (?P<kind>\w+)(?: (?P<path>\S+))? -->\n)?"
        r"^```\w*\n(?P<code>.*?)^```$",
        re.MULTILINE | re.DOTALL,
    )
    section = ""
    for found in block.finditer(PAGE.read_text(encoding="utf-8")):
        if found["section"]:
            section = found["section"]
        else:
            yield Step(section, found["kind"] or "", found["path"] or "", found["code"])


STEPS: Final = list(read())


class Newcomer:
    """Somebody who follows the page.

    :param home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home
        self.running: dict[str, Process] = {}
        self.walked: set[str] = set()
        self.said = ""
        self.ports = {"8000": str(free_port()), "8765": str(free_port())}
        self.url = f"http://127.0.0.1:{self.ports['8000']}"
        self.browser = requests.Session()
        self.browser.headers["Accept"] = "text/html"

    # What the page says

    def walk(self, section: str) -> None:
        """Do what the blocks below a heading show."""
        steps = [step for step in STEPS if step.section == section]
        assert steps, f"There is no section {section!r}."
        self.walked.add(section)
        for step in steps:
            if step.kind == "sh":
                for command in step.code.splitlines():
                    self.run(command)
            elif step.kind == "output":
                self.expect(step.code)
            elif step.kind:
                self.save(step)

    def run(self, command: str) -> None:
        """Run a command to its end, or start it if it has none."""
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return
        process = self.running[command] = self.start(command)
        if command in STARTED:
            process.wait_for(STARTED[command])
            return
        code = process.wait()
        self.said = process.said()
        expected = (0, 1) if command.endswith("doctor") else (0,)
        assert code in expected, self.said

    def start(self, command: str) -> Process:
        """Start a command in a terminal of its own."""
        given = {
            "python manage.py createsuperuser": " --noinput",
            SITE: f" 127.0.0.1:{self.ports['8000']}",
        }
        line = f"cd {self.folder}; unset DJANGO_SETTINGS_MODULE; exec {command}"
        return Process(
            ["sh", "-c", line + given.get(command, "")],
            self.home / f"output-{len(list(self.home.glob('output-*')))}.txt",
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            PYTHONPATH=str(REPOSITORY),
            TMPDIR=str(self.home),
            DJANGO_SUPERUSER_USERNAME=NAME,
            DJANGO_SUPERUSER_EMAIL="ada@example.com",
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        )

    def stop(self, command: str) -> None:
        """Press Ctrl-C, which every process of a terminal notices."""
        process = self.running.pop(command)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait()
        process.stop()

    def save(self, step: Step) -> None:
        """Save a file, and wait for those who load it again."""
        path = self.folder / step.path
        code = step.code
        for shown, port in self.ports.items():
            code = code.replace(shown, port)
        if step.kind == "append":
            code = path.read_text() + "\n" + code
        elif step.kind == "replace":
            name = code.partition(" ")[0]
            code, number = re.subn(rf"^{name} .*\n", code, path.read_text(), flags=re.MULTILINE)
            assert number == 1, f"{step.path} has {number} lines that begin with {name}."
        else:
            assert step.kind == "write"
        loaded = {
            command: len(re.findall(pattern, self.running[command].said()))
            for command, pattern in STARTED.items()
            if command != CHAT and command in self.running and path.name != "test_chat.py"
        }
        path.write_text(code)
        for command, times in loaded.items():
            said = self.running[command].said
            wait_until(
                lambda: len(re.findall(STARTED[command], said())) > times,  # noqa: B023
                f"{command} loads {step.path} again",
            )
        if SITE in loaded:
            self.get("/admin/login/")

    def expect(self, lines: str) -> None:
        """Wait until what runs has printed lines; numbers in them may be others."""
        for line in lines.splitlines():
            pattern = re.sub(r"\d+(\\\.\d+)?", r"[\\d.]+", re.escape(line))
            self.running[WORKER].wait_for(pattern)

    # What a browser does

    def get(self, path: str) -> str:
        """Return a page, once the site answers."""
        found: list[requests.Response] = []

        def answers() -> bool:
            with suppress(requests.ConnectionError):
                found.append(self.browser.get(self.url + path, timeout=limits.PATIENCE))
            return bool(found)

        wait_until(answers, "the site answers")
        found[0].raise_for_status()
        return found[0].text

    def post(self, path: str, **form: str) -> requests.Response:
        """Post a form, as on the page that was loaded last."""
        form["csrfmiddlewaretoken"] = self.browser.cookies["csrftoken"] or ""
        answer = self.browser.post(
            self.url + path, form, allow_redirects=False, timeout=limits.PATIENCE
        )
        assert answer.status_code == 302, answer.text
        return answer

    def log_in(self) -> None:
        """Log in to the admin."""
        self.get("/admin/login/")
        self.post("/admin/login/", username=NAME, password=PASSWORD)

    def publish(self, title: str) -> requests.Response:
        """Publish the home page."""
        [[page]] = self.rows("SELECT page_ptr_id FROM home_homepage")
        self.get(f"/admin/pages/{page}/edit/")
        form = {"title": title, "slug": "home", "action-publish": "action-publish"}
        form |= {"comments-TOTAL_FORMS": "0", "comments-INITIAL_FORMS": "0"}
        return self.post(f"/admin/pages/{page}/edit/", **form)

    def follow(self, answer: requests.Response) -> str:
        """Return the page that follows a form."""
        return self.get(answer.headers["Location"].removeprefix(self.url))

    # What is seen

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds in the site's database."""
        database = sqlite3.connect(f"file:{self.folder / 'db.sqlite3'}?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def wait_for_task(self, state: str, attempt: int = 1) -> int:
        """Return the key of the newest task of the hook, once it is in a state."""

        def look() -> int | None:
            [(key, *found)] = self.rows(
                "SELECT id, state, attempt FROM wagtail_async_hooks_backgroundtask "
                "WHERE function = 'home.wagtail_hooks.post_to_chat' ORDER BY id DESC LIMIT 1"
            )
            return key if found == [state, attempt] else None

        return int(wait_until(look, f"the task is {state}"))

    def wait_for_message(self, title: str) -> None:
        """Return once the chat has got a message."""
        self.running[CHAT].wait_for(f"New message: {NAME} has published {title}\n")


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    found = Newcomer(tmp_path)
    yield found
    for process in found.running.values():
        process.stop()


def test_page__is_done_but_for_what_is_installed() -> None:
    commands = "".join(step.code for step in STEPS if not step.kind).splitlines()
    packages = [line.split()[-1] for line in commands if line.startswith("pip install ")]
    assert set(commands) == {
        "python -m venv venv",
        ". venv/bin/activate",
        *(f"pip install {package}" for package in packages),
    }
    assert packages == ["wagtail", project()["project"]["name"]]
    assert metadata.version("wagtail")


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the tutorial's database is SQLite")
def test_tutorial__leads_to_hooks_in_the_background(newcomer: Newcomer) -> None:
    newcomer.walk("Make a site")

    newcomer.walk("Write a slow hook")
    newcomer.log_in()
    assert newcomer.publish("Spring").elapsed.total_seconds() > 5, "the hook is in the request"
    newcomer.wait_for_message("Spring")

    newcomer.stop(SITE)
    newcomer.walk("Move it to the background")
    newcomer.get("/admin/")
    chat = newcomer.running[CHAT]
    chat.send(signal.SIGSTOP)
    answer = newcomer.publish("Summer")  # the chat hears nothing: the request does not wait for it
    assert "Receipt" in newcomer.follow(answer)
    chat.send(signal.SIGCONT)
    newcomer.wait_for_message("Summer")
    newcomer.wait_for_task("succeeded")

    newcomer.walk("See what happens")
    assert "succeeded" in newcomer.said
    assert "Post to chat" in newcomer.get("/admin/background-tasks/")

    newcomer.stop(CHAT)
    newcomer.publish("Autumn")
    key = newcomer.wait_for_task("failed")
    assert "A background task failed: Post to chat" in newcomer.get("/admin/")
    assert "Connection refused" in newcomer.get(f"/admin/background-tasks/task/{key}/")
    newcomer.walk("Let it fail")
    newcomer.post(f"/admin/background-tasks/task/{key}/retry/")
    newcomer.wait_for_message("Autumn")
    newcomer.wait_for_task("succeeded", attempt=2)

    newcomer.walk("Let it try again")
    newcomer.stop(CHAT)
    newcomer.publish("Winter")
    key = newcomer.wait_for_task("scheduled")
    assert "Tell the chat about" in newcomer.get(f"/admin/background-tasks/task/{key}/")
    newcomer.run(CHAT)
    newcomer.wait_for_message("Winter")
    newcomer.wait_for_task("succeeded", attempt=2)

    newcomer.walk("Run a worker of its own")
    newcomer.publish("A new spring")
    newcomer.wait_for_message("A new spring")
    newcomer.walk("Read the worker's log")

    newcomer.walk("Ask whether all is well")
    assert newcomer.said == ""

    newcomer.walk("Test the hook")
    assert re.search(r"^OK", newcomer.said, re.MULTILINE)

    assert newcomer.walked == {step.section for step in STEPS}
