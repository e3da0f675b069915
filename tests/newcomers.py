"""Sites as newcomers make them, each in a folder of its own: what their commands say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests import limits
from tests.copies import copy_tables

REPOSITORY: Final = Path(__file__).resolve().parents[1]
DATABASE: Final = "mysite/db.sqlite3"

APPS: Final = (
    *("wagtail.contrib.forms", "wagtail.contrib.redirects", "wagtail.embeds", "wagtail.sites"),
    *("wagtail.users", "wagtail.snippets", "wagtail.documents", "wagtail.images"),
    *("wagtail.search", "wagtail.admin", "wagtail", "modelcluster", "taggit", "django_filters"),
    *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
    *("django.contrib.messages", "django.contrib.staticfiles"),
)

SETTINGS: Final = """
from pathlib import Path

DEBUG = True
SECRET_KEY = "a key of fifty characters at least, for a test alone"
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = {apps!r}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {{"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}},
}}]
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": Path(__file__).parent / "db.sqlite3",
    "OPTIONS": {{
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;",
    }},
}}}}
WAGTAIL_SITE_NAME = "A site"
WAGTAILADMIN_BASE_URL = "http://localhost"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
{more}
"""

URLS: Final = """
from django.urls import include, path
from wagtail.admin import urls

urlpatterns = [path("admin/", include(urls))]
"""

HOOKS: Final = """
from wagtail_async_hooks import hooks

@hooks.register("after_publish_page", background=True)
def tell(request, page):
    print(f"told of {page}")
"""

PUBLISH: Final = """
from django.contrib.auth import get_user_model
from django.test import Client
from wagtail.models import Page

user = get_user_model().objects.create_superuser("ada")
client = Client(raise_request_exception=False)
client.force_login(user)
page = Page.objects.get(depth=2)
comments = {f"comments-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
form = {"title": "New title", "slug": page.slug, "action-publish": "1", **comments}
answer = client.post(f"/admin/pages/{page.pk}/edit/", form)
page.refresh_from_db()
print("answer", answer.status_code, page.title)
"""


IN_TURN: Final = """
import json, os, sys
import django
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()
for number, arguments in enumerate(json.loads(sys.argv[1])):
    child = os.fork()
    if child:
        # At once, or the next child would print it as well.
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    output = os.open(f"output-{number}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["manage.py", *arguments]
    execute_from_command_line(sys.argv)
    break
"""
"""Loads the site once, and runs each of several commands in a copy of that process."""


@dataclass
class Newcomer:
    """A site.

    :param apps: of INSTALLED_APPS, before Wagtail's.
    :param settings: further lines of the settings.
    """

    folder: Path
    apps: tuple[str, ...] = ("home", "wagtail_async_hooks")
    settings: str = 'WAGTAIL_TASKS = {"BACKEND": "database"}'
    files: dict[str, str] = field(default_factory=dict)

    def write(self, **more: str) -> None:
        """Write the site's files; in the names of more of them, ``__`` stands for ``/``."""
        files = {
            "manage.py": "from django.core.management import execute_from_command_line as run\n"
            "import os, sys\n"
            'os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"\nrun(sys.argv)\n',
            "mysite/__init__.py": "",
            "mysite/settings.py": SETTINGS.format(apps=[*self.apps, *APPS], more=self.settings),
            "mysite/urls.py": URLS,
            "home/__init__.py": "",
            "home/wagtail_hooks.py": HOOKS,
            **self.files,
        }
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; return its status, and what it said."""
        ended = self._python("manage.py", *arguments)
        return ended.returncode, ended.stdout + ended.stderr

    def run_in_turn(self, *commands: str) -> list[tuple[int, str]]:
        """Run several, with the code as it is now; return of each what :meth:`run` does."""
        ended = self._python("-c", IN_TURN, json.dumps([each.split() for each in commands]))
        assert ended.returncode == 0, ended.stderr
        said = [
            (self.folder / f"output-{number}.txt").read_text() for number in range(len(commands))
        ]
        return list(zip(map(int, ended.stdout.split()), said, strict=True))

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            text=True,
            capture_output=True,
            timeout=limits.PATIENCE,
            check=False,
        )

    def check(self, *arguments: str) -> str:
        """Return what ``check`` says."""
        self.write()
        return self.run("check", *arguments)[1]

    def make_tables(self) -> None:
        """Make the tables of its apps."""
        self.write()
        copy_tables(self.folder / DATABASE, ours="wagtail_async_hooks" in self.apps)

    def make_tables_of_wagtail(self) -> None:
        """Make the tables of Wagtail alone."""
        self.write()
        copy_tables(self.folder / DATABASE, ours=False)

    def publish(self) -> str:
        """Publish a page in Wagtail's editor, and return what was said."""
        self.make_tables()
        return self.run("shell", "-v0", "-c", PUBLISH)[1]
