"""What `make test` and `make test-all` run side by side: the linters, and each database's tests.

All sessions use what is installed where nox is; make installs it, also for the ends of what is
supported. The tests of a database run in several processes, which `tests/side_by_side.py` keeps
apart. What follows `--` is for pytest, in place of what is chosen here, e.g.
`nox -s postgres -- tests/queue/test_task_queue.py`.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import zlib
from pathlib import Path
from typing import Final

import nox

from tests.selection import DEPEND_ON_THE_DATABASE as MODULES

SERVERS: Final = {"postgres": 5432, "mysql": 3306, "redis": 6379, "rabbitmq": 5672}

PROCESSES: Final = {"sqlite": (8, 4), "postgres": (12, 2), "mysql": (14, 2)}
"""The number of the Redis database of a database's first process, and how many processes it has:
together more than there are cores, as slow tests wait most of the time."""

DEPENDENT: Final = ["-m", "database and not long", *(f"tests/{path}" for path in MODULES)]
"""Which tests run on servers; pytest need not load the other modules."""

ALL: Final = os.environ.get("TESTS") == "all"
"""Whether all tests run, and which lines they cover is measured: `make test-all`."""

nox.options.allow_parallel = True


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Style, types, the order of imports, and migrations that are missing."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    with tempfile.TemporaryDirectory() as folder:
        command = ["python", "tests/site/manage.py", "makemigrations", "--check", "--dry-run"]
        session.run(*command, env={"SITE_DATA": folder})


@nox.session(python=False)
def docs(session: nox.Session) -> None:
    """The documentation as a site; warnings are errors, among them links that lead nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["sphinx-build", "--fail-on-warning", "--keep-going", "--fresh-env", "--quiet"]
        session.run(
            *command, "-b", "dirhtml", "docs", "docs/_build/html", env={"SITE_DATA": folder}
        )


@nox.session(python=False)
def dist(session: nox.Session) -> None:
    """An sdist, and the wheel that is built from it, in dist/; both are checked."""
    folder = Path("dist")
    shutil.rmtree(folder, ignore_errors=True)
    # With what is installed, rather than what is downloaded for each build.
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder))
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    session.run("python", "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    session.run("python", "-m", "check_wheel_contents", str(wheel))
    # There is no address that all maintainers read.
    pyroma = ["python", "-m", "pyroma", "--min", "10", "--skip-tests", "AuthorEmail"]
    session.run(*pyroma, str(sdist))


@nox.session(python=False)
def sqlite(session: nox.Session) -> None:
    """All tests but the long ones."""
    run_pytest(session, [] if ALL else ["-m", "not long"])


@nox.session(python=False)
def postgres(session: nox.Session) -> None:
    """The tests that depend on the database, but the long ones."""
    require(session, "postgres")
    run_pytest(session, ["-m", "not once"] if ALL else DEPENDENT)


@nox.session(python=False)
def mysql(session: nox.Session) -> None:
    """The tests that depend on the database, but the long ones; MariaDB, or MySQL."""
    require(session, "mysql")
    run_pytest(session, ["-m", "not once"] if ALL else DEPENDENT)


def run_pytest(session: nox.Session, chosen: list[str]) -> None:
    """Run tests on the database that the session is named for.

    :param chosen: options of pytest that say which, unless some are given after `--`.
    """
    database = session.name
    first, processes = PROCESSES[database]
    variables = {
        "COVERAGE_FILE": str(Path(f".coverage.{database}").resolve()),
        "PYTHONDONTWRITEBYTECODE": "",  # else each of many processes would compile everything
        "SITE_DATABASE": database,
        "SITE_FAST_PASSWORDS": "1",
    }
    if database in SERVERS:
        host, port = address(database)
        checkout = zlib.crc32(str(Path.cwd()).encode())  # others may use the server as well
        variables |= {
            "SITE_DATABASE_HOST": host,
            "SITE_DATABASE_PORT": str(port),
            "SITE_TEST_DATABASE_NAME": f"test_wagtail_async_hooks_{checkout:08x}",
        }
    if answers("redis"):
        host, port = address("redis")
        variables["SITE_REDIS_URL"] = f"redis://{host}:{port}"
        variables["SITE_REDIS_DATABASE"] = str(first)
    elif database == "sqlite":
        require(session, "redis")
    if answers("rabbitmq"):
        host, port = address("rabbitmq")
        variables["SITE_RABBITMQ_URL"] = f"amqp://guest:guest@{host}:{port}//"
    elif database == "sqlite":
        require(session, "rabbitmq")
    with tempfile.TemporaryDirectory(prefix="wagtail_async_hooks-") as folder:
        command = ["python", "-m", "pytest", "-q", "-n", str(processes)]
        if ALL:
            command += ["--cov", "--cov-report="]
        options = session.posargs or chosen
        session.run(*command, *options, env={**variables, "SITE_DATA": folder})


def require(session: nox.Session, server: str) -> None:
    """Go on if a server answers; in CI it has to, elsewhere what needs it is left out."""
    if not answers(server):
        message = f"{server} does not answer at {':'.join(map(str, address(server)))}"
        if os.environ.get("CI"):
            session.error(message)
        if server in ("redis", "rabbitmq"):
            session.warn(f"{message}: its tests are left out.")
        else:
            session.skip(message)


def answers(server: str) -> bool:
    """Return whether something listens where a server is expected."""
    try:
        socket.create_connection(address(server), timeout=5).close()
    except OSError:
        return False
    return True


def address(server: str) -> tuple[str, int]:
    """Return where a server is expected: from the environment, or else at its usual port."""
    name = server.upper()
    host = os.environ.get(f"{name}_HOST", "127.0.0.1")
    return host, int(os.environ.get(f"{name}_PORT", SERVERS[server]))
