"""Sites as newcomers make them, each in a folder of its own: what their commands say."""

from __future__ import annotations

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
        environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            text=True,
            capture_output=True,
            timeout=limits.PATIENCE,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

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
