"""Run the tests on SQLite, and on every server that answers, some of them side by side.

PostgreSQL, MariaDB (or MySQL) and Redis are looked for at their default ports on loopback, or
where POSTGRES_HOST/POSTGRES_PORT, MYSQL_HOST/MYSQL_PORT and REDIS_HOST/REDIS_PORT say. Where CI is
set, one that does not answer is a failure; elsewhere its tests are left out, and this says so.

The tests of a database are two jobs, those marked `slow` and the others; each has a database, a
Redis database and a data folder of its own. As many jobs run at once as there are cores, up to
three, as most of the slow tests' time is spent waiting for processes.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SERVERS = {"postgres": 5432, "mysql": 3306, "redis": 6379}

FIRST_REDIS_DATABASE = 8
"""Number of the first job's Redis database; Redis has 16 of them unless it is told otherwise."""

MAX_LANES = 3

LAST_LINES = 12
"""So many lines are repeated of a job that ended without saying which tests failed."""


@dataclass(frozen=True)
class Result:
    """How a job ended.

    :param code: its exit code.
    :param why: the lines that tell which tests failed; of a job that could not say, its last ones.
    """

    title: str
    code: int
    why: Sequence[str]


@dataclass(frozen=True)
class Address:
    """Where a server is expected."""

    host: str
    port: int

    @classmethod
    def of(cls, server: str) -> Address:
        """Return the address from the environment, else the default one."""
        name = server.upper()
        port = int(os.environ.get(f"{name}_PORT", SERVERS[server]))
        return cls(os.environ.get(f"{name}_HOST", "127.0.0.1"), port)

    def answers(self) -> bool:
        """Tell whether something listens there."""
        try:
            socket.create_connection((self.host, self.port), timeout=2).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Job:
    """Some of the tests on one database.

    :param database: as ``SITE_DATABASE`` says it.
    :param slow: those marked ``slow``, or the others.
    :param redis_database: number of the Redis database that belongs to it.
    """

    database: str
    slow: bool
    redis_database: int

    @property
    def title(self) -> str:
        """What its lines of output begin with."""
        return f"{self.database}, {'slow' if self.slow else 'quick'}"

    @property
    def _name(self) -> str:
        return f"{self.database}_{'slow' if self.slow else 'quick'}"

    def environment(self, folder: str) -> dict[str, str]:
        """Return the environment of its process.

        :param folder: where it may write.
        """
        environment = {
            **os.environ,
            "COVERAGE_FILE": f".coverage.{self._name}",
            "SITE_DATA": folder,
            "SITE_DATABASE": self.database,
            "SITE_FAST_PASSWORDS": "1",
        }
        if self.database != "sqlite":
            address = Address.of(self.database)
            environment |= {
                "SITE_DATABASE_HOST": address.host,
                "SITE_DATABASE_PORT": str(address.port),
                "SITE_TEST_DATABASE_NAME": f"test_wagtail_async_hooks_{self._name}",
            }
        redis = Address.of("redis")
        if redis.answers():
            environment |= {
                "SITE_REDIS_URL": f"redis://{redis.host}:{redis.port}",
                "SITE_REDIS_DATABASE": str(self.redis_database),
            }
        return environment

    def run(self, pytest_options: Sequence[str]) -> Result:
        """Run it, and print what it says, each line with the job's title."""
        marker = ["-m", "slow" if self.slow else "not slow"]
        command = [sys.executable, "-m", "pytest", *marker, *pytest_options]
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="wagtail_async_hooks-") as folder:
            process = subprocess.Popen(
                command,
                env=self.environment(folder),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout is not None
            failures: list[str] = []
            last: deque[str] = deque(maxlen=LAST_LINES)
            for line in process.stdout:
                line = line.rstrip("\n")
                self._say(line)
                last.append(line)
                if line.startswith(("FAILED ", "ERROR ")):
                    failures.append(line)
            process.wait()
        self._say(f"exit code {process.returncode} after {time.monotonic() - begun:.0f} s")
        return Result(self.title, process.returncode, failures or list(last))

    def _say(self, line: str) -> None:
        print(f"{self.title:>15} | {line}", flush=True)


def main() -> int:
    """Run what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only SQLite, without slow tests")
    parser.add_argument(
        "--slow-on",
        nargs="*",
        choices=["sqlite", "postgres", "mysql"],
        default=["sqlite", "postgres", "mysql"],
        help="run the slow tests only on these databases; default: on all",
    )
    options, pytest_options = parser.parse_known_args()
    if options.quick:
        quick = Job("sqlite", slow=False, redis_database=FIRST_REDIS_DATABASE)
        return quick.run(pytest_options).code
    databases = found_databases()
    if databases is None:
        return 1
    jobs = jobs_of(databases, options.slow_on)
    if set(options.slow_on) >= set(databases):
        failed = run_covered(jobs, pytest_options)
    else:
        failed = run_all(jobs, pytest_options)
    for result in failed:
        print(f"\nFailed: {result.title}, exit code {result.code}", *result.why, sep="\n")
    return 1 if failed else 0


def found_databases() -> list[str] | None:
    """Return the databases to test on; ``None`` if one is missing that has to be there."""
    found = [server for server in SERVERS if Address.of(server).answers()]
    missing = [f"{s} at {Address.of(s).host}:{Address.of(s).port}" for s in SERVERS.keys() - found]
    if missing:
        print(f"These servers do not answer: {', '.join(sorted(missing))}.", flush=True)
        if os.environ.get("CI"):
            return None
    # Those that take longest come first.
    return [*(server for server in ("mysql", "postgres") if server in found), "sqlite"]


def jobs_of(databases: Sequence[str], slow_on: Sequence[str]) -> list[Job]:
    """Return the jobs, in the order in which they are to begin."""
    wanted = [(database, True) for database in databases if database in slow_on]
    wanted += [(database, False) for database in databases]
    return [
        Job(database, slow, FIRST_REDIS_DATABASE + number)
        for number, (database, slow) in enumerate(wanted)
    ]


def run_covered(jobs: Sequence[Job], pytest_options: Sequence[str]) -> list[Result]:
    """Run jobs and tell which code they have run, added up; return what failed."""
    coverage("erase")
    failed = run_all(jobs, ["--cov", "--cov-report=", *pytest_options])
    coverage("combine", "--quiet", *(str(path) for path in Path().glob(".coverage.*")))
    code = coverage("report")
    return [*failed, *([Result("coverage", code, ["See its table."])] if code else [])]


def run_all(jobs: Sequence[Job], pytest_options: Sequence[str]) -> list[Result]:
    """Run jobs, some at once; return those that failed.

    What failed is told once more at the end of all, where whoever reads the end of a log looks.
    """
    lanes = min(MAX_LANES, os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=lanes) as pool:
        results = list(pool.map(lambda job: job.run(pytest_options), jobs))
    return [result for result in results if result.code]


def coverage(*arguments: str) -> int:
    """Run one command of coverage.py."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
