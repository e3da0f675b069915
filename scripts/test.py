"""Run the tests on SQLite, and on every server that answers.

PostgreSQL, MariaDB (or MySQL) and Redis are looked for at their default ports on loopback, or
where POSTGRES_HOST/POSTGRES_PORT, MYSQL_HOST/MYSQL_PORT and REDIS_HOST/REDIS_PORT say. Where CI is
set, one that does not answer is a failure; elsewhere its tests are left out, and this says so.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass

SERVERS = {"postgres": 5432, "mysql": 3306, "redis": 6379}


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


def main() -> int:
    """Run what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only SQLite, without slow tests")
    options, pytest_options = parser.parse_known_args()
    if options.quick:
        return run("sqlite", ["-m", "not slow", *pytest_options])
    found = {server: Address.of(server) for server in SERVERS if Address.of(server).answers()}
    missing = [f"{s} at {Address.of(s).host}:{Address.of(s).port}" for s in SERVERS.keys() - found]
    if missing:
        print(f"These servers do not answer: {', '.join(sorted(missing))}.", flush=True)
        if os.environ.get("CI"):
            return 1
    coverage("erase")
    databases = ["sqlite", *(server for server in ("postgres", "mysql") if server in found)]
    options_of_all = ["--cov", "--cov-append", *pytest_options]
    failed = [database for database in databases if run(database, options_of_all)]
    coverage("combine", "--quiet", "--append")
    too_low = coverage("report")
    if failed:
        print(f"Tests failed on {', '.join(failed)}.")
    return 1 if failed or too_low else 0


def run(database: str, pytest_options: list[str]) -> int:
    """Run pytest on one database, with a data folder of its own."""
    print(f"\n=== Tests on {database} ===", flush=True)
    environment = {**os.environ, "SITE_DATABASE": database, "SITE_FAST_PASSWORDS": "1"}
    if database != "sqlite":
        address = Address.of(database)
        environment |= {"SITE_DATABASE_HOST": address.host, "SITE_DATABASE_PORT": str(address.port)}
    if Address.of("redis").answers():
        redis = Address.of("redis")
        environment["SITE_REDIS_URL"] = f"redis://{redis.host}:{redis.port}"
    with tempfile.TemporaryDirectory(prefix="wagtail_async_hooks-") as folder:
        environment["SITE_DATA"] = folder
        command = [sys.executable, "-m", "pytest", "--cov-report=", *pytest_options]
        return subprocess.run(command, env=environment, check=False).returncode


def coverage(*arguments: str) -> int:
    """Run one command of coverage.py."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
