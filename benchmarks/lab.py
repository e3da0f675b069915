"""Where it is measured: database servers and Redis of our own, and a fresh database for each run.

The servers are those of the tests of faults: they listen on free ports, keep their data in
temporary folders, and are as their packages configure them.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.cases import Case
from tests.faults.servers import HOST, MariaDB, PostgreSQL, Redis, find_binary

REPOSITORY = Path(__file__).resolve().parents[1]
REDIS_DATABASES = 16
"""So many a Redis has by default."""

TEMPLATE = "template_of_site"
"""The database with the demo's content that every run gets a copy of."""


class Lab:
    """All that the cases need; a context manager that starts it, and ends it.

    :param cases: what is going to be measured.
    :param begin_with: an SQLite database that has been migrated; by default, one is made.
    :param pages: how many posts the site has.
    """

    def __init__(
        self, cases: Iterable[Case], begin_with: Path | None = None, pages: int = 10
    ) -> None:
        cases = list(cases)
        self._databases = {case.database for case in cases if case.database}
        self._needs_redis = any(case.redis for case in cases)
        self._stack = ExitStack()
        self._begin_with = begin_with
        self._pages = pages
        self._numbers = count(1)
        self._postgres: PostgreSQL | None = None
        self._mariadb: MariaDB | None = None
        self._redis: Redis | None = None

    def __enter__(self) -> Self:
        compile_sources()
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="benchmarks-")
            self._folder = Path(stack.enter_context(folder))
            if "postgres" in self._databases:
                self._postgres = stack.enter_context(PostgreSQL())
            if "mysql" in self._databases:
                self._mariadb = stack.enter_context(MariaDB())
            if self._needs_redis:
                self._redis = stack.enter_context(Redis())
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._make_template, sorted(self._databases)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def versions(self) -> dict[str, str]:
        """Return the versions of the servers."""
        known = (self._postgres, self._mariadb, self._redis)
        servers = [server.version() for server in known if server]
        return dict(told.split(" ", 1) for told in servers)  # type: ignore[misc]

    def fresh(self, case: Case) -> dict[str, str]:
        """Return the environment of one run, with a database that only it uses.

        :param case: what is run.
        """
        number = next(self._numbers)
        place = self._folder / f"run-{number}"
        place.mkdir()
        environment = self._environment(case.database, place, f"run_{number}", case)
        if case.redis:
            environment["BENCH_REDIS"] = self._emptied_redis(number % REDIS_DATABASES)
        return environment

    def clean(self, environment: Mapping[str, str]) -> None:
        """Remove what one run has used."""
        if environment["SITE_DATABASE"] == "postgres":
            self._sql(f"DROP DATABASE IF EXISTS {environment['SITE_DATABASE_NAME']} WITH (FORCE)")
        elif environment["SITE_DATABASE"] == "mysql":
            self._mariadb_client(f"DROP DATABASE IF EXISTS {environment['SITE_DATABASE_NAME']}")
        shutil.rmtree(environment["SITE_DATA"], ignore_errors=True)

    def _environment(
        self, database: str, place: Path, name: str, case: Case | None
    ) -> dict[str, str]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "SITE_DATA": str(place),
            "SITE_DEBUG": "0",
            "SITE_FAST_PASSWORDS": "1",
            "SITE_DATABASE": database or "sqlite",
            "SITE_DATABASE_NAME": str(place / "site.sqlite3"),
            "BENCH_CONTENDER": case.contender if case else "",
            "BENCH_REDIS": "",
        }
        if database == "postgres":
            assert self._postgres is not None
            environment |= self._postgres.environment() | {"SITE_DATABASE_NAME": name}
        elif database == "mysql":
            assert self._mariadb is not None
            environment |= self._mariadb.environment() | {"SITE_DATABASE_NAME": name}
        if case is not None:
            self._copy(database, place, name)
        return environment

    def _emptied_redis(self, number: int) -> str:
        """Return the address of a database of Redis; runs at the same time have different ones."""
        from redis import Redis as Client

        assert self._redis is not None
        address = f"redis://{HOST}:{self._redis.port}/{number}"
        with Client.from_url(address) as client:
            client.flushdb()
        return address

    def _copy(self, database: str, place: Path, name: str) -> None:
        if database == "postgres":
            self._sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        elif database == "mysql":
            self._mariadb_client(f"CREATE DATABASE {name}")
            self._mariadb_client(f"SOURCE {self._dump()}", name)
        elif database == "sqlite":
            shutil.copy(self._folder / database / "site.sqlite3", place / "site.sqlite3")
        if database:
            shutil.copytree(self._folder / database / "media", place / "media")

    def _make_template(self, database: str) -> None:
        place = self._folder / database
        place.mkdir()
        if database == "postgres":
            self._sql(f"CREATE DATABASE {TEMPLATE}")
        elif database == "mysql":
            self._mariadb_client(f"CREATE DATABASE {TEMPLATE}")
        if database == "sqlite" and self._begin_with is not None:
            shutil.copy(self._begin_with, place / "site.sqlite3")
        environment = self._environment(database, place, TEMPLATE, None)
        for command in (["migrate"], ["seed", "--pages", str(self._pages)]):
            manage(environment, *command)
        if database == "mysql":
            self._run_mariadb("mariadb-dump", f"--result-file={self._dump()}", TEMPLATE)

    def _sql(self, statement: str) -> None:
        import psycopg

        assert self._postgres is not None
        where = {"host": HOST, "port": self._postgres.port, "user": PostgreSQL.user}
        with psycopg.connect(**where, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)

    def _dump(self) -> Path:
        """Return the file with the template, as MariaDB cannot copy a database by itself."""
        return self._folder / "mysql" / "template.sql"

    def _mariadb_client(self, statements: str, *database: str) -> None:
        self._run_mariadb("mariadb", "--execute", statements, *database)

    def _run_mariadb(self, program: str, *arguments: str) -> None:
        assert self._mariadb is not None
        where = [f"--host={HOST}", f"--port={self._mariadb.port}", f"--user={MariaDB.user}"]
        command = [find_binary(program), "--no-defaults", *where, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compile_sources() -> None:
    """Compile the package and the site, as pip compiles what it installs.

    Each new process would compile them otherwise, where Python is told to write no bytecode, and
    the libraries beside them are compiled.
    """
    for folder in ("wagtail_async_hooks", "tests/site", "benchmarks"):
        compileall.compile_dir(REPOSITORY / folder, quiet=1)


def manage(environment: Mapping[str, str], *arguments: str) -> None:
    """Run a management command to its end.

    :raises RuntimeError: if it fails; says what it printed.
    """
    command = [sys.executable, "tests/site/manage.py", *arguments]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=dict(environment),
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}")


def load() -> float:
    """Return how many processes have wanted to run at once, on average over the last minute."""
    return os.getloadavg()[0]
