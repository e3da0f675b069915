"""Tests of what is said to somebody who has forgotten something, on sites of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.newcomers import HOOKS, Newcomer
from wagtail_async_hooks import migrations

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="each site has an SQLite database"),
]

WITHOUT_THE_APP = ("home",)

CHECK = "check --database default"

RECEIVER = """
from wagtail.signals import page_published
from wagtail_async_hooks import receiver

@receiver(page_published, background=True)
def tell(instance, **kwargs):
    print(f"told of {instance}")
"""

MODELS = """
from django.db.models.signals import post_save
from wagtail.signals import page_published
from wagtail_async_hooks import receiver

@receiver(page_published, background=True)
def first(instance, **kwargs):
    print(f"first told of {instance}")

@receiver(page_published, background=True)
def second(instance, **kwargs):
    print(f"second told of {instance}")

@receiver(page_published, background=True, dispatch_uid="third")
def third(instance, **kwargs):
    print(f"third told of {instance}")

@receiver(post_save, sender="wagtailcore.Page", background=True)
@receiver([page_published, post_save], sender="wagtailcore.Page", background=True)
def labelled(instance, **kwargs):
    print(f"labelled told of {instance}")
"""

READY = """
from django.apps import AppConfig

class Home(AppConfig):
    name = "home"

    def ready(self):
        from . import tasks
"""

TASK = """
from wagtail_async_hooks import background

@background.task()
def tell(page):
    print(f"told of {page}")
"""


@pytest.fixture
def site(tmp_path: Path, django_db_setup: None) -> Callable[..., Newcomer]:
    """Make a site."""

    def make(**given: Any) -> Newcomer:
        return Newcomer(tmp_path, **given)

    return make


@pytest.mark.parametrize("apps", [("home", "wagtail_async_hooks"), ("wagtail_async_hooks", "home")])
def test_nothing_is_said_of_a_site_that_is_right(apps: Any, site: Any) -> None:
    assert "no issues" in site(apps=apps).check()


@pytest.mark.parametrize("apps", [("home", "wagtail_async_hooks"), ("wagtail_async_hooks", "home")])
def test_many_receivers_of_a_signal_in_models(apps: Any, site: Any) -> None:
    """They are connected while Django still imports the models of other apps."""
    site = site(apps=apps, files={"home/models.py": MODELS, "home/wagtail_hooks.py": ""})
    said = site.publish()
    assert "answer 302 New title" in said, said
    assert "told of" not in said

    status, said = site.run("wagtail_worker", "--drain")
    assert status == 0, said
    for name in ("first", "second", "third"):
        assert said.count(f"{name} told of New title") == 1, said
    assert "labelled told of New title" in said


# The app is missing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"home/wagtail_hooks.py": "from wagtail_async_hooks.hooks import register"},
        {"home/models.py": RECEIVER},
        {
            "home/apps.py": "from django.apps import AppConfig\nclass Home(AppConfig):\n"
            "    name = 'home'\n    def ready(self):\n        from . import tasks",
            "home/tasks.py": TASK,
        },
    ],
    ids=["hooks", "module of hooks", "receiver in models", "task in ready"],
)
def test_app_is_missing__check_says_so_once(files: dict[str, str], site: Any) -> None:
    said = site(apps=WITHOUT_THE_APP, files=files).check()

    assert said.count("(wagtail_async_hooks.E009)") == 1, said
    assert 'WAGTAIL_TASKS is set, but "wagtail_async_hooks" is not in INSTALLED_APPS' in said
    assert 'Add "wagtail_async_hooks" to INSTALLED_APPS, then run "manage.py migrate' in said
    assert "Traceback" not in said


def test_app_is_missing__the_editor_publishes(site: Any) -> None:
    said = site(apps=WITHOUT_THE_APP, files={"home/models.py": RECEIVER}).publish()

    assert "answer 302 New title" in said, said
    assert said.count("told of New title") == 2
    assert 'runs in the request: "wagtail_async_hooks" is not in INSTALLED_APPS.' in said


def test_app_is_missing__nothing_is_said_where_nothing_was_asked_for(site: Any) -> None:
    site = site(apps=WITHOUT_THE_APP, settings="")
    assert "no issues" in site.check()
    said = site.publish()
    assert "answer 302 New title" in said
    assert "INSTALLED_APPS" not in said


def test_app_is_missing__what_needs_tables_says_what_to_do(site: Any) -> None:
    settings = (
        'TASKS = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}'
    )
    more = f'WAGTAIL_TASKS = {{"BACKEND": "database"}}\n{settings}'
    site = site(apps=WITHOUT_THE_APP, settings=more)
    site.write()
    ask = "from django.test import Client; Client().get('/admin/')"
    said = site.check() + site.run("shell", "-v0", "-c", ask)[1]

    assert '"wagtail_async_hooks" is not in INSTALLED_APPS, so that there are no back' in said


def test_app_is_missing__mail_is_sent_at_once(site: Any) -> None:
    site = site(
        apps=WITHOUT_THE_APP,
        settings='WAGTAIL_TASKS = {"BACKEND": "database", "EMAIL": {"BACKEND": '
        '"django.core.mail.backends.console.EmailBackend"}}\n'
        'EMAIL_BACKEND = "wagtail_async_hooks.mail.BackgroundEmailBackend"',
    )
    site.write()
    send = (
        'from django.core.mail import send_mail; send_mail("Hi", "there", "a@x.org", ["b@x.org"])'
    )
    status, said = site.run("shell", "-v0", "-c", send)

    assert status == 0, said
    assert "Subject: Hi" in said
    assert '"wagtail_async_hooks" is not in INSTALLED_APPS' in said


def test_app_has_another_label(site: Any) -> None:
    apps = (
        "from wagtail_async_hooks.apps import WagtailAsyncHooksConfig\n"
        "class Ours(WagtailAsyncHooksConfig):\n    label = 'tasks'\n"
    )
    said = site(apps=("home", "home.ours.Ours"), files={"home/ours.py": apps}).check()
    assert 'keep the label "wagtail_async_hooks"' in said


# No backend ---------------------------------------------------------------------------------


def test_no_backend(site: Any) -> None:
    site = site(settings="")
    said = site.check()
    assert "W016) WAGTAIL_TASKS is not set, so functions with background=True run in the" in said
    assert "home.wagtail_hooks.tell" in said
    assert "no issues" not in said

    site.files = {"home/wagtail_hooks.py": ""}
    assert "no issues" in site.check()


# Not migrated -------------------------------------------------------------------------------


def test_not_migrated(site: Any) -> None:
    site = site()
    site.make_tables_of_wagtail()
    works = ("wagtail_worker --drain", "wagtail_tasks status")
    before, (_, with_database), *refused, migrated, (_, after), drained = site.run_in_turn(
        "check", CHECK, *works, "migrate -v0", CHECK, "wagtail_worker --drain"
    )
    assert "no issues" in before[1]
    assert "(wagtail_async_hooks.W017) The database 'default' lacks" in with_database
    assert 'run "manage.py migrate wagtail_async_hooks".' in with_database
    for status, said in refused:
        assert status == 1
        assert "CommandError: The database 'default' lacks" in said
        assert 'run "manage.py migrate wagtail_async_hooks".' in said
        assert "Traceback" not in said

    assert migrated[0] == 0
    assert "W017" not in migrated[1]
    assert "no issues" in after
    assert drained[0] == 0, drained


def test_migrated_to_an_older_release(site: Any) -> None:
    site = site()
    site.make_tables()
    newer_release(site, "0998_more", "0999_still_more")

    lacks = "lacks 2 of the migrations of wagtail_async_hooks (0998_more to 0999_still_more)"
    works = ("wagtail_worker --drain", "wagtail_tasks status")
    (_, checked), *refused, migrated, (_, after), drained = site.run_in_turn(
        CHECK, *works, "migrate -v0", CHECK, "wagtail_worker --drain"
    )
    assert lacks in checked
    for status, said in refused:
        assert (status, lacks in said) == (1, True), said
        assert 'run "manage.py migrate wagtail_async_hooks".' in said

    assert migrated[0] == 0, migrated
    assert "no issues" in after
    assert drained[0] == 0, drained


def newer_release(site: Any, *names: str) -> None:
    """Give a site migrations that follow those of this release."""
    newest = sorted(path.stem for path in Path(migrations.__path__[0]).glob("0*.py"))[-1]
    files = {"home/newer/__init__.py": f"__path__.append({migrations.__path__[0]!r})\n"}
    for before, name in pairwise([newest, *names]):
        files[f"home/newer/{name}.py"] = (
            "from django.db import migrations\n\n"
            "class Migration(migrations.Migration):\n"
            f"    dependencies = [('wagtail_async_hooks', '{before}')]\n"
        )
    site.settings += '\nMIGRATION_MODULES = {"wagtail_async_hooks": "home.newer"}\n'
    site.files |= files
    site.write()


def test_migrated_by_a_newer_release(site: Any) -> None:
    site = site()
    site.make_tables()
    record = (
        "from django.db.migrations.recorder import MigrationRecorder\n"
        "from django.db import connection\n"
        "MigrationRecorder(connection).record_applied('wagtail_async_hooks', '0999_more')"
    )
    assert site.run("shell", "-v0", "-c", record)[0] == 0

    told = "has migrations of wagtail_async_hooks that this release does not have (0999_more)"
    (_, checked), (status, said) = site.run_in_turn(CHECK, "wagtail_worker --drain")
    assert f"(wagtail_async_hooks.W018) The database 'default' {told}" in checked
    assert status == 0  # as it is while a release is deployed
    assert told in said


def test_migrated_past_a_router(site: Any) -> None:
    router = (
        "class Router:\n    def allow_migrate(self, db, app_label, **hints):\n"
        "        return None if app_label != 'wagtail_async_hooks' else False\n"
    )
    settings = 'WAGTAIL_TASKS = {"BACKEND": "database"}\nDATABASE_ROUTERS = ["home.routers.Router"]'
    site = site(settings=settings, files={"home/routers.py": router})
    site.make_tables_of_wagtail()
    migrated, (status, said) = site.run_in_turn("migrate -v0", "wagtail_worker --drain")
    assert migrated[0] == 0
    assert status == 1
    assert "although its migrations are recorded there as applied; see to it that allow_" in said


# Files that nothing imports -------------------------------------------------------------------


NEVER_IMPORTED = {
    "mysite/wagtail_hooks.py": (HOOKS, 'Add "mysite" to INSTALLED_APPS'),
    "mysite/tasks.py": (TASK, 'Add "mysite" to INSTALLED_APPS'),
    "mysite/receivers.py": (RECEIVER, 'Add "mysite" to INSTALLED_APPS'),
    "mysite/signal_handlers.py": (RECEIVER, 'Add "mysite" to INSTALLED_APPS'),
    "shop/wagtail_hooks.py": (HOOKS, 'Add "shop" to INSTALLED_APPS'),
    "shop/tasks.py": (TASK, 'Add "shop" to INSTALLED_APPS'),
    "home/parts/wagtail_hooks.py": (HOOKS, 'Add "home.parts" to INSTALLED_APPS'),
    "home/receivers.py": (RECEIVER, 'AppConfig: "from . import receivers".'),
    "home/signals.py": (RECEIVER, 'AppConfig: "from . import signals".'),
    "wagtail_hooks.py": (HOOKS, "Move it into an app of INSTALLED_APPS."),
    "apps/blog/wagtail_hooks.py": (HOOKS, 'Add "blog" to INSTALLED_APPS'),
}

ALL_RIGHT = {
    "mysite/hooks.py": "from wagtail import hooks",
    "mysite/receivers.py": RECEIVER,
    "mysite/views.py": "from . import tasks",
    "mysite/tasks.py": TASK,
    "mysite/urls.py": "from . import views\nurlpatterns = []",
    "shop/__init__.py": "",
    "shop/tasks.py": "from celery import shared_task",
    "shop/wagtail_hooks.py": "from wagtail import hooks",
    "home/tasks.py": TASK,
    "home/signals.py": "from wagtail_async_hooks import signals",
    "home/receivers.py": RECEIVER,
    "home/models.py": "from . import receivers",
    "home/wagtail_hooks.py": "import mysite.receivers",
    "home/tests/__init__.py": "",
    "home/tests/tasks.py": TASK,
    "venv/pyvenv.cfg": "",
    "venv/shop/wagtail_hooks.py": HOOKS,
}


def test_files_that_are_never_imported(site: Any) -> None:
    folders = {name.rpartition("/")[0] for name in NEVER_IMPORTED} - {"", "mysite", "home"}
    packages = {f"{folder}/__init__.py": "" for folder in folders}
    site = site(files={**packages, **{name: text for name, (text, _) in NEVER_IMPORTED.items()}})
    said = site.check()

    for name, (_, hint) in NEVER_IMPORTED.items():
        told = f"{site.folder / name} uses wagtail_async_hooks and is never imported"
        assert told in said, said
        assert hint in said.partition(told)[2].partition("HINT: ")[2].partition("\n")[0]
    assert said.count("W020") == len(NEVER_IMPORTED)


def test_files_that_are_imported_or_none_of_ours(site: Any) -> None:
    said = site(files=ALL_RIGHT).check()
    assert "no issues" in said, said


# A worker and old code -----------------------------------------------------------------------


def test_worker_says_that_it_keeps_its_code(site: Any) -> None:
    site = site()
    site.make_tables()
    told = "restart it after each change of the code"
    assert told in site.run("wagtail_worker", "--drain")[1]

    site.settings += "\nDEBUG = False"
    site.write()
    assert told not in site.run("wagtail_worker", "--drain")[1]


# Spellings -----------------------------------------------------------------------------------


def test_wagtails_own_hooks_take_no_background(site: Any) -> None:
    """Wagtail raises the error, at once; there is nothing that we could say."""
    text = HOOKS.replace("from wagtail_async_hooks", "from wagtail")
    said = site(files={"home/wagtail_hooks.py": text}).check()
    assert "TypeError: register() got an unexpected keyword argument 'background'" in said
