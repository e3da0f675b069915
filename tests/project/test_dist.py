"""The sdist and the wheel: what is in them, and a new site that has nothing but the wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from email.parser import BytesParser
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from django.db import connection

from tests import limits
from tests.newcomers import IN_TURN
from tests.processes import REPOSITORY
from wagtail_async_hooks import __version__

PACKAGE: Final = "wagtail_async_hooks"
ADDRESS: Final = "https://github.com/wagtail-async-hooks/wagtail-async-hooks"
SITE_CODE: Final = REPOSITORY / "tests" / "typing"
TOOLS: Final = ("build", "check_wheel_contents", "hatch_fancy_pypi_readme", "pyroma", "twine")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the new sites use SQLite"),
    pytest.mark.skipif(
        "CI" not in os.environ and not all(map(find_spec, TOOLS)), reason="needs the extra dist"
    ),
    pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="needs a checkout"),
]

SETTINGS: Final = """
INSTALLED_APPS += ["wagtail_async_hooks"]
WAGTAIL_TASKS = {"BACKEND": "database"}
DATABASES["default"]["OPTIONS"] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;",
}
"""
"""What a site adds: two settings, and what SQLite needs for several processes."""

HOOKS: Final = """
from pathlib import Path

from wagtail_async_hooks import hooks


@hooks.register("after_publish_page", background=True)
def note(request, page):
    Path("noted.txt").write_text(f"{page.title} by {request.user}")
"""

PUBLISH: Final = """
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from wagtail.models import Page
from wagtail.users.models import UserProfile

import wagtail_async_hooks

print("package", wagtail_async_hooks.__file__)
user = get_user_model().objects.create_superuser("ada")
client = Client(headers={"host": "localhost"})
client.force_login(user)
page = Page.objects.get(depth=2)
comments = {f"comments-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
form = {"title": "Tide tables", "slug": page.slug, "action-publish": "1", **comments}
url = reverse("wagtailadmin_pages:edit", args=[page.pk])
print("published", client.post(url, form).status_code)
UserProfile.objects.create(user=user, preferred_language="de")
report = client.get(reverse("wagtail_async_hooks:tasks"))
print("report", report.status_code, report.content.decode())
"""


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command prints.

    :raises AssertionError: if it fails; says what it printed.
    """
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=None if environment is None else dict(environment),
        capture_output=True,
        text=True,
        timeout=limits.TEST,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def export(folder: Path) -> Path:
    """Copy what the repository has, and nothing that is ignored, into a folder of its own."""
    listed = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=REPOSITORY)
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


class Built(NamedTuple):
    """What ``make dist`` makes of a checkout."""

    checkout: Path
    sdist: Path
    wheel: Path
    said: str

    def names_in_wheel(self) -> set[str]:
        """Return the paths of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as wheel:
            return set(wheel.namelist())

    def names_in_sdist(self) -> set[str]:
        """Return those in the sdist, without its top folder."""
        with tarfile.open(self.sdist) as sdist:
            return {name.partition("/")[2] for name in sdist.getnames()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    checkout = export(tmp_path_factory.mktemp("checkout"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = run(
        sys.executable,
        "-m",
        "nox",
        "-s",
        "dist",
        cwd=checkout,
        environment={**os.environ, "PATH": path},
    )
    [sdist], [wheel] = (checkout / "dist").glob("*.tar.gz"), (checkout / "dist").glob("*.whl")
    return Built(checkout, sdist, wheel, said)


def test_names__have_the_version(built: Built) -> None:
    assert built.sdist.name == f"{PACKAGE}-{__version__}.tar.gz"
    assert built.wheel.name == f"{PACKAGE}-{__version__}-py3-none-any.whl"


def test_checks__have_nothing_to_say(built: Built) -> None:
    assert "warning" not in built.said.lower()
    assert "rating: 10/10" in built.said


def test_wheel__has_the_whole_package_and_nothing_else(built: Built) -> None:
    expected = {
        path.relative_to(built.checkout).as_posix()
        for path in (built.checkout / PACKAGE).rglob("*")
        if path.is_file()
    }
    for name in ("py.typed", "migrations/0001_initial.py", "templates", "static", "locale"):
        assert any(path.startswith(f"{PACKAGE}/{name}") for path in expected), name
    catalogues = [path for path in expected if path.endswith(".po")]
    assert catalogues
    assert {path.removesuffix(".po") + ".mo" for path in catalogues} <= expected

    metadata = f"{PACKAGE}-{__version__}.dist-info"
    found = built.names_in_wheel()
    assert {name for name in found if not name.startswith(f"{metadata}/")} == expected
    assert f"{metadata}/licenses/LICENSE" in found


def test_sdist__has_what_contributors_need(built: Built) -> None:
    names = built.names_in_sdist()
    for name in (
        *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "noxfile.py"),
        *(".github/workflows/test.yml", ".pre-commit-config.yaml", ".readthedocs.yaml"),
        *("benchmarks/__main__.py", "docs/conf.py", "scripts/demo.py", "tests/site/manage.py"),
    ):
        assert name in names
    assert not [name for name in names if name.startswith((".venv", ".demo", "docs/_build"))]


def test_wheel__is_the_same_from_a_checkout(built: Built, tmp_path: Path) -> None:
    """``make dist`` builds it from the sdist."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel"]
    run(*command, "--outdir", tmp_path, cwd=built.checkout)
    assert (tmp_path / built.wheel.name).read_bytes() == built.wheel.read_bytes()


def test_metadata__leads_to_the_repository_from_anywhere(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        metadata = wheel.read(f"{PACKAGE}-{__version__}.dist-info/METADATA")
    message = BytesParser().parsebytes(metadata)
    urls = message.get_all("Project-URL")
    assert urls
    assert {label.partition(", ")[2].startswith(ADDRESS) for label in urls} == {True}
    readme = message.get_payload()
    assert f"]({ADDRESS}/blob/main/docs/how-to/index.md)" in readme
    assert "](docs/" not in readme
    assert "<!-- test" not in readme


# The wheel alone ----------------------------------------------------------------------------


def environments() -> list[Path]:
    """Return the interpreter of the tests, and those of the ends of what is supported, if made."""
    ends = [REPOSITORY / f".venv-{end}" for end in ("oldest", "newest")]
    made = [end / "bin" / "python" for end in ends if end.exists() and end.resolve() != ours()]
    return [Path(sys.executable), *made]


def ours() -> Path:
    """Return the environment of the tests."""
    return Path(sys.prefix).resolve()


class Site(NamedTuple):
    """A new site, in an environment that has the wheel and what the package depends on."""

    environment: Path
    folder: Path

    def python(self, *arguments: str) -> str:
        """Return what Python prints there, which sees nothing of this repository."""
        hidden = ("DJANGO_", "PYTHON", "SITE_", "COVERAGE", "PYTEST_")
        variables = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        interpreter = self.environment / "bin" / "python"
        return run(interpreter, *arguments, cwd=self.folder, environment=variables)

    def manage(self, *commands: tuple[str, ...]) -> list[str]:
        """Return what each of several commands of the site prints."""
        script = IN_TURN.replace("mysite.settings", "mysite.settings.dev")
        codes = self.python("-c", script, json.dumps(commands)).split()
        said = [
            (self.folder / f"output-{number}.txt").read_text() for number in range(len(commands))
        ]
        assert set(codes) == {"0"}, "\n".join(said)
        return said


def install(wheel: Path, python: Path, folder: Path) -> Path:
    """Make an environment that has the wheel, and the dependencies of another interpreter."""
    environment = folder / "environment"
    run(python, "-m", "venv", "--without-pip", environment, cwd=folder)
    pip = [python, "-m", "pip", "--python", environment / "bin" / "python", "install"]
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    run(*pip, *options, wheel, cwd=folder)

    # Dependencies are where the tests have them. Python does not read the *.pth files there, one
    # of which leads to this repository.
    [dependencies] = python.parents[1].glob("lib/python*/site-packages")
    [own] = environment.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(f"{dependencies}\n")
    return environment


@pytest.fixture(params=environments(), ids=lambda python: python.parents[1].name)
def site(request: pytest.FixtureRequest, built: Built, tmp_path: Path) -> Site:
    environment = install(built.wheel, request.param, tmp_path)
    folder = tmp_path / "mysite"
    folder.mkdir()
    site = Site(environment, folder)
    site.python("-m", "wagtail.bin.wagtail", "start", "mysite", ".")
    with (folder / "mysite" / "settings" / "base.py").open("a") as settings:
        settings.write(SETTINGS)
    (folder / "home" / "wagtail_hooks.py").write_text(HOOKS)
    return site


def test_site__works_with_the_wheel_alone(site: Site) -> None:
    noted = site.folder / "noted.txt"
    _, checked, changes, published = site.manage(
        ("migrate", "--verbosity=0"),
        ("check", "--database=default"),
        ("makemigrations", "--check", "--dry-run", PACKAGE),
        ("shell", f"--command={PUBLISH}"),
    )
    assert "wagtail_async_hooks" not in checked
    assert "No changes" in changes
    assert f"package {site.environment}" in published
    assert "published 302" in published
    assert "report 200" in published
    assert "Hintergrundaufgaben" in published
    assert "wagtail_async_hooks/admin.css" in published
    assert not noted.exists(), "it is enqueued"

    _, _, found = site.manage(
        ("wagtail_worker", "--drain"),
        # Nothing but that no worker lives, and that Wagtail's own work stays in the request.
        ("wagtail_tasks", "doctor", "--ignore=no-worker", "--ignore=tasks-elsewhere"),
        ("findstatic", "wagtail_async_hooks/admin.css", "--first", "--verbosity=0"),
    )
    assert noted.read_text() == "Tide tables by ada"
    assert Path(found.strip()).is_relative_to(site.environment)


# What type checkers see ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def typed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An environment with the wheel, and a project that uses it, far from this repository."""
    folder = tmp_path_factory.mktemp("typed")
    project = folder / "project"
    shutil.copytree(SITE_CODE, project, ignore=shutil.ignore_patterns("__pycache__"))
    return install(built.wheel, Path(sys.executable), folder), project


def mistakes(project: Path) -> set[tuple[str, int]]:
    """Return the lines that a checker is to report."""
    lines = (project / "mistakes.py").read_text(encoding="utf-8").splitlines()
    return {("mistakes.py", line) for line, text in enumerate(lines, 1) if text.endswith("# wrong")}


def test_mypy__finds_the_types_in_the_wheel(typed: tuple[Path, Path]) -> None:
    environment, project = typed
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--config-file", os.devnull]
    command += ["--python-executable", str(python), "--cache-dir", str(project / "cache")]
    done = subprocess.run(
        [*command, "site_code.py", "mistakes.py"],
        cwd=project,
        env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")},
        capture_output=True,
        text=True,
        timeout=limits.TEST,
        check=False,
    )
    found = re.findall(r"^(\S+?):(\d+): error: ", done.stdout, re.MULTILINE)
    assert {(name, int(line)) for name, line in found} == mistakes(project), done.stdout


def test_pyright__finds_the_types_in_the_wheel(typed: tuple[Path, Path]) -> None:
    environment, project = typed
    config = {"include": ["."], "typeCheckingMode": "strict"}
    (project / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath"]
    done = subprocess.run(
        [*command, str(environment / "bin" / "python"), "--project", str(project)],
        cwd=project,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=limits.TEST,
        check=False,
    )
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert found == mistakes(project), done.stdout
