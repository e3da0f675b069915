"""A running site with a worker, and people who use it in a browser."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import Browser, BrowserContext, Page

from tests.copies import copy_tables
from tests.faults.servers import free_port
from tests.processes import Process

BACKEND = '{"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}'
TASKS = "wagtail_async_hooks_backgroundtask"


class Desk:
    """The site, its database and its processes; a context manager that ends them.

    :param folder: for all that it writes.
    :param browser: in which people look at it.
    :param commands: management commands that make its content, one after the other.
    :param worker: whether a worker is started with it.
    :param own: whether it has settings, files and hooks of its own. Otherwise its processes are
        copies of one that has loaded the tests' site, which takes a fraction of the time.
    """

    def __init__(
        self,
        folder: Path,
        browser: Browser,
        commands: Sequence[Sequence[str]] = (("seed", "--pages", "3"),),
        *,
        worker: bool = True,
        own: bool = True,
    ) -> None:
        self.folder = folder
        self.browser = browser
        self.url = f"http://127.0.0.1:{free_port()}"
        self._commands = commands
        self._has_worker = worker
        self._is_own = own
        self._sessions: dict[str, Any] = {}
        self._stack = ExitStack()
        self.worker: Process | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            copy_tables(self.folder / "site.sqlite3")
            for command in self._commands:
                self.run(*command)
                if command[0] == "seed":  # whose hundred tasks are nothing to look at
                    self.execute(f"DELETE FROM {TASKS}")
            address = self.url.removeprefix("http://")
            web = stack.enter_context(self._process("runserver", "--noreload", address))
            if self._has_worker:
                self.start_worker(stack)
            web.wait_for("Quit the server")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *how: object) -> None:
        self._stack.close()

    def run(self, *command: str) -> None:
        """Run a management command to its end."""
        with self._process(*command) as process:
            assert process.wait() == 0, process.said()

    def start_worker(self, stack: ExitStack | None = None) -> Process:
        """Start a worker, which ends with the site."""
        self.worker = (stack or self._stack).enter_context(self._process("wagtail_worker"))
        self.worker.wait_for("(?i)worker")
        return self.worker

    def stop_worker(self) -> None:
        """End the worker as an administrator would."""
        assert self.worker is not None
        self.worker.stop()

    def _process(self, *command: str, **environment: str) -> Process:
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "SITE_DATABASE_NAME": str(self.folder / "site.sqlite3"),
            "SITE_URL": self.url,
            "TEST_TASKS": BACKEND,
        }
        if self._is_own:
            hooks = self.folder / "hooks"
            hooks.mkdir(exist_ok=True)
            variables |= {
                "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
                "SITE_DATA": str(self.folder),
                "BROWSER_HOOKS": str(hooks),
            }
        output = self.folder / f"{command[0]}-{len(list(self.folder.glob('*.txt')))}.txt"
        command_line = [sys.executable, "tests/site/manage.py", *command]
        return Process(command_line, output, **{**variables, **environment})

    # Its hooks ------------------------------------------------------------------------------

    @contextmanager
    def hook(self, what: str) -> Iterator[None]:
        """Have the hook be ``"down"``, or ``"slow"``, meanwhile."""
        file = self.folder / "hooks" / what
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    # Its data, without Django, which refuses to read it while Playwright runs ----------------

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Return what a query finds."""
        with closing(sqlite3.connect(self.folder / "site.sqlite3", timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, parameters)]

    def execute(self, statement: str, *parameters: Any) -> None:
        """Change what is in the database."""
        with closing(sqlite3.connect(self.folder / "site.sqlite3", timeout=20)) as database:
            database.execute(statement, parameters)
            database.commit()

    def count(self, condition: str = "1 = 1") -> int:
        """Return how many tasks there are."""
        [row] = self.rows(f"SELECT COUNT(*) number FROM {TASKS} WHERE {condition}")
        return int(row["number"])

    def is_empty(self) -> bool:
        """Return whether all tasks have ended."""
        return not self.count("state IN ('scheduled', 'waiting', 'running')")

    def post(self) -> int:
        """Return the key of a page of the blog's."""
        return int(self.rows("SELECT page_ptr_id pk FROM blog_blogpage ORDER BY 1")[0]["pk"])

    # Its people -----------------------------------------------------------------------------

    @contextmanager
    def as_user(self, username: str, **options: Any) -> Iterator[Page]:
        """Open a tab in which somebody is logged in; errors of its scripts fail the test.

        :param options: of Playwright's ``new_context``.
        """
        if username not in self._sessions:
            self._sessions[username] = self._log_in(username)
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = self.browser.new_context(
            base_url=self.url, storage_state=self._sessions[username], **options
        )
        with closing(context):
            yield self._tab(context)

    def speak(self, username: str, language: str) -> None:
        """Have somebody prefer a language, as if she had chosen it in her account."""
        with self.as_user(username) as page:
            page.goto("/admin/account/")  # which makes her profile
        who = "SELECT id FROM auth_user WHERE username = ?"
        self.execute(
            f"UPDATE wagtailusers_userprofile SET preferred_language = ? WHERE user_id = ({who})",
            language,
            username,
        )

    def publish(self, page: Page) -> None:
        """Publish a page of the blog's, as an editor does."""
        page.goto(f"/admin/pages/{self.post()}/edit/")
        page.locator("footer .w-dropdown__toggle, .footer .w-dropdown__toggle").last.click()
        page.click("[name=action-publish]")
        page.wait_for_url(lambda url: "/edit/" not in url)

    def _log_in(self, username: str) -> Any:
        with closing(self.browser.new_context(base_url=self.url)) as context:
            page = context.new_page()
            page.goto("/admin/login/")
            page.fill("input[name=username]", username)
            page.fill("input[name=password]", "demo")
            page.click("button[type=submit]")
            page.wait_for_url("**/admin/")
            return context.storage_state()

    def _tab(self, context: BrowserContext) -> Page:
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", _raise)
        return page


def _raise(error: Exception) -> None:
    raise AssertionError(f"A script failed: {error}")
