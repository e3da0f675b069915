"""The sdist and the wheel: what is in them, and a new site that has nothing but the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import BytesParser
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from django.db import connection

from tests import limits
from tests.processes import REPOSITORY
from wagtail_async_hooks import __version__

PACKAGE: Final = "wagtail_async_hooks"
ADDRESS: Final = "https://github.com/wagtail-async-hooks/wagtail-async-hooks"
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
"""
"""What a site adds."""

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
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=limits.PATIENCE,
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
    said = run(sys.executable, "-m", "nox", "-s", "dist", cwd=checkout, environment={"PATH": path})
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

    def python(self, *arguments: str | Path) -> str:
        """Return what Python prints there, which sees nothing of this repository."""
        hidden = ("DJANGO_", "PYTHON", "SITE_", "COVERAGE", "PYTEST_")
        variables = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        command = [str(each) for each in (self.environment / "bin" / "python", *arguments)]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=limits.PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *arguments: str) -> str:
        """Return what a command of the site prints."""
        return self.python("manage.py", *arguments)


@pytest.fixture(params=environments(), ids=lambda python: python.parents[1].name)
def site(request: pytest.FixtureRequest, built: Built, tmp_path: Path) -> Iterator[Site]:
    python: Path = request.param
    environment = tmp_path / "environment"
    run(python, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    pip = [python, "-m", "pip", "--python", environment / "bin" / "python", "install"]
    run(*pip, "--quiet", "--no-deps", "--no-index", built.wheel, cwd=tmp_path)

    # Dependencies are where the tests have them. Python does not read the *.pth files there, one
    # of which leads to this repository.
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = run(python, "-c", purelib, cwd=tmp_path).strip()
    own = run(environment / "bin" / "python", "-c", purelib, cwd=tmp_path).strip()
    (Path(own) / "dependencies.pth").write_text(f"{found}\n")

    folder = tmp_path / "mysite"
    folder.mkdir()
    site = Site(environment, folder)
    site.python("-m", "wagtail.bin.wagtail", "start", "mysite", ".")
    with (folder / "mysite" / "settings" / "base.py").open("a") as settings:
        settings.write(SETTINGS)
    (folder / "home" / "wagtail_hooks.py").write_text(HOOKS)
    yield site
    shutil.rmtree(environment)


def test_site__works_with_the_wheel_alone(site: Site) -> None:
    site.manage("migrate", "--verbosity=0")
    assert "(wagtail_async_hooks.E" not in site.manage("check", "--database", "default")
    assert "No changes" in site.manage("makemigrations", "--check", "--dry-run", PACKAGE)

    published = site.manage("shell", "--command", PUBLISH)
    assert f"package {site.environment}" in published
    assert "published 302" in published
    assert "report 200" in published
    assert "Hintergrundaufgaben" in published
    assert "wagtail_async_hooks/admin.css" in published
    assert not (site.folder / "noted.txt").exists()

    site.manage("wagtail_worker", "--drain")
    assert (site.folder / "noted.txt").read_text() == "Tide tables by ada"
    site.manage("wagtail_tasks", "doctor", "--ignore", "no-worker")
    found = site.manage("findstatic", "wagtail_async_hooks/admin.css", "--verbosity=0")
    assert Path(found.strip()).is_relative_to(site.environment)
