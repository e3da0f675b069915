"""Database servers and Redis of our own, to be stopped, frozen and filled up.

Each listens on a free port of the loopback and keeps its data in a folder that goes with it.
Servers that refuse to run as root run as the user that their package has made.

testcontainers needs Docker. pytest-postgresql, pytest-mysql and pytest-redis start one kind each as
fixtures, of which the soak and the benchmarks have none, and leave all the rest to the test: to
stop, freeze and fill them up, and to start them again at the same port with the same data.
"""

from __future__ import annotations

import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.limits import PATIENCE
from tests.processes import wait_until

HOST = "127.0.0.1"


class BinariesAbsent(Exception):
    """A server is not installed on this machine."""


def find_binary(name: str) -> str:
    """Return the path of a program, also of those that are in no folder of ``PATH``.

    :raises BinariesAbsent: if it is not installed.
    """
    folders = [*glob.glob("/usr/lib/postgresql/*/bin"), "/usr/sbin", "/usr/local/sbin"]
    path = os.pathsep.join([os.environ.get("PATH", ""), *sorted(folders, reverse=True)])
    found = shutil.which(name, path=path)
    if found is None:
        raise BinariesAbsent(f"the program {name!r} is not installed")
    return found


def free_port() -> int:
    """Return a port that nobody listens on.

    It is not one of those that the system gives to clients: while the server is stopped, a client
    would be given its port, and the server could not start again.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as listener:
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


class Server(ABC):
    """A server that the tests may do anything to; a context manager that starts it, and ends it."""

    title: ClassVar[str]
    account: ClassVar[str] = ""
    """The user it runs as when we are root; blank for no other."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make what it needs in its folder, before the first start."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs it in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether it can be worked with."""

    @abstractmethod
    def version(self) -> str:
        """Return its version."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="wagtail_async_hooks-server-"))
        try:
            if self._account():
                shutil.chown(self.folder, self.account)
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and return once it answers."""
        with (self.folder / "output.txt").open("wb") as sink:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                **self._account(),
            )
        wait_until(self._has_started, f"{self.title} answers")

    def stop(self) -> None:
        """Shut it down as an administrator would, and return once it has ended."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        """End it with no chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Have it accept connections, and never answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def run(self, *command: str) -> str:
        """Run a program to its end, as the server's user; return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self._account(),
        )
        assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}"
        return done.stdout

    def _has_started(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self.folder / "output.txt").read_text(errors="replace")
            raise AssertionError(f"{self.title} ended by itself:\n{said}")
        return self.answers()

    def _account(self) -> dict[str, Any]:
        if not self.account or os.geteuid() != 0:
            return {}
        try:
            group = pwd.getpwnam(self.account).pw_gid
        except KeyError:
            raise BinariesAbsent(f"there is no user {self.account!r} to run it as") from None
        return {"user": self.account, "group": group, "extra_groups": []}


class DatabaseServer(Server):
    """A database server, with one empty database."""

    vendor: ClassVar[str]
    """What ``SITE_DATABASE`` calls it."""
    user: ClassVar[str]
    NAME = "faults"

    @abstractmethod
    def set_read_only(self, on: bool) -> None:
        """Have it refuse all writes of its clients, or take them again."""

    @abstractmethod
    def sessions(self) -> int:
        """Return how many connections have been made to it, this one among them."""

    def settings(self) -> dict[str, Any]:
        """Return what differs in Django's ``DATABASES``."""
        return {"HOST": HOST, "PORT": str(self.port), "NAME": self.NAME, "USER": self.user}

    def environment(self) -> dict[str, str]:
        """Return the variables that lead the test site to it."""
        given = {f"SITE_DATABASE_{key}": value for key, value in self.settings().items()}
        return {"SITE_DATABASE": self.vendor, **given}


class PostgreSQL(DatabaseServer):
    """A PostgreSQL server; :meth:`stop` cuts its clients off, as ``pg_ctl stop`` does."""

    title = "PostgreSQL"
    account = "postgres"
    vendor = "postgres"
    user = "postgres"
    stop_signal = signal.SIGINT

    def prepare(self) -> None:
        """See :class:`Server`."""
        self.run(
            find_binary("initdb"),
            *("--pgdata", str(self.folder / "data"), "--username", self.user),
            *("--auth", "trust", "--encoding", "UTF8", "--no-locale"),
        )

    def command(self) -> list[str]:
        """See :class:`Server`."""
        return [
            find_binary("postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-h", HOST),
            *("-k", str(self.folder)),
        ]

    def start(self) -> None:
        """See :class:`Server`; wait for the children of one that was killed to notice."""

        def started() -> bool:
            try:
                super(PostgreSQL, self).start()
            except AssertionError as error:
                if "pre-existing shared memory block" not in str(error):
                    raise
                return False
            return True

        wait_until(started, "what a killed PostgreSQL has left is gone")

    def answers(self) -> bool:
        """See :class:`Server`."""
        import psycopg

        where = {"host": HOST, "port": self.port, "user": self.user, "dbname": "postgres"}
        try:
            with psycopg.connect(**where, connect_timeout=5, autocommit=True) as connection:
                known = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [self.NAME]
                )
                if known.fetchone() is None:
                    connection.execute(f"CREATE DATABASE {self.NAME}")
        except psycopg.OperationalError:
            return False
        return True

    def set_read_only(self, on: bool) -> None:
        """See :class:`DatabaseServer`."""
        setting = "on" if on else "off"
        self._ask(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
        self._ask("SELECT pg_reload_conf()")

    def sessions(self) -> int:
        """See :class:`DatabaseServer`."""
        [(number,)] = self._ask(
            f"SELECT sessions FROM pg_stat_database WHERE datname = '{self.NAME}'"
        )
        return int(number)

    def _ask(self, statement: str) -> list[Any]:
        import psycopg

        where = {"host": HOST, "port": self.port, "user": self.user, "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def version(self) -> str:
        """See :class:`Server`."""
        return f"PostgreSQL {self.run(find_binary('postgres'), '--version').split()[2]}"


class MariaDB(DatabaseServer):
    """A MariaDB server."""

    title = "MariaDB"
    account = "mysql"
    vendor = "mysql"
    user = "root"
    ADMINISTRATOR = "administrator"
    """Who may write while nobody else may."""

    def prepare(self) -> None:
        """See :class:`Server`."""
        self.run(
            find_binary("mariadb-install-db"),
            *("--no-defaults", *self._folders()),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )

    def command(self) -> list[str]:
        """See :class:`Server`."""
        return [
            find_binary("mariadbd"),
            *("--no-defaults", *self._folders()),
            *(f"--port={self.port}", f"--bind-address={HOST}"),
            *(f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
            *("--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"),
        ]

    def answers(self) -> bool:
        """See :class:`Server`."""
        import pymysql

        try:
            connection = pymysql.connect(
                host=HOST, port=self.port, user=self.user, connect_timeout=5, autocommit=True
            )
        except pymysql.OperationalError:
            return False
        with connection, connection.cursor() as cursor:
            if cursor.execute(f"SHOW DATABASES LIKE '{self.NAME}'"):
                return True
            cursor.execute(f"CREATE USER {self.ADMINISTRATOR}")
            cursor.execute(f"GRANT ALL ON *.* TO {self.ADMINISTRATOR}")
            cursor.execute("REVOKE READ ONLY ADMIN ON *.* FROM CURRENT_USER")
            cursor.execute(f"CREATE DATABASE {self.NAME}")
        return True

    def set_read_only(self, on: bool) -> None:
        """See :class:`DatabaseServer`."""
        self._ask(f"SET GLOBAL read_only = {int(on)}")

    def set_largest_packet(self, size: int) -> None:
        """Have connections that are made from now on take no more bytes in one statement."""
        self._ask(f"SET GLOBAL max_allowed_packet = {size}")

    def sessions(self) -> int:
        """See :class:`DatabaseServer`."""
        [(_, number)] = self._ask("SHOW GLOBAL STATUS LIKE 'Connections'")
        return int(number)

    def _ask(self, statement: str) -> Any:
        import pymysql

        with (
            pymysql.connect(host=HOST, port=self.port, user=self.ADMINISTRATOR) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchall()

    def _folders(self) -> list[str]:
        # A starting server deletes the temporary tables that it finds in its `tmpdir`. In that of
        # the system they may be those of another server, which is at work.
        return [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder}"]

    def version(self) -> str:
        """See :class:`Server`."""
        return f"MariaDB {self.run(find_binary('mariadbd'), '--version').split()[2].split('-')[0]}"


class Redis(Server):
    """A Redis that keeps nothing on disk: stopping it empties it.

    :param options: of its configuration, by name.
    """

    title = "Redis"

    def __init__(self, **options: str) -> None:
        super().__init__()
        self.options = options

    def prepare(self) -> None:
        """See :class:`Server`."""
        find_binary("redis-server")

    def command(self) -> list[str]:
        """See :class:`Server`."""
        given = [f"--{name.replace('_', '-')} {value}" for name, value in self.options.items()]
        arguments = f"--port {self.port} --bind {HOST} --appendonly no {' '.join(given)}".split()
        return [find_binary("redis-server"), *arguments, "--save", ""]

    def answers(self) -> bool:
        """See :class:`Server`."""
        from redis.exceptions import ConnectionError as RedisConnectionError

        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisConnectionError:
            return False

    def version(self) -> str:
        """See :class:`Server`."""
        said = self.run(find_binary("redis-server"), "--version")
        return f"Redis {said.split('v=')[1].split()[0]}"

    def client(self) -> Any:
        """Return a client for it."""
        from redis import Redis as Client

        return Client(host=HOST, port=self.port, socket_timeout=5)

    def backend_options(self) -> dict[str, Any]:
        """Return ``BACKEND_OPTIONS`` that lead to it."""
        return {"url": f"redis://{HOST}:{self.port}/10"}


class PgBouncer(Server):
    """A pooler in front of a PostgreSQL that runs already.

    :param mode: ``"session"`` or ``"transaction"``.
    :param database: the entry of ``DATABASES`` that leads to that PostgreSQL.
    """

    title = "PgBouncer"
    account = "postgres"

    def __init__(self, mode: str, database: dict[str, Any]) -> None:
        super().__init__()
        self._mode = mode
        self._database = database

    def prepare(self) -> None:
        """See :class:`Server`."""
        given = self._database
        users, settings = self.folder / "users.txt", self.folder / "pgbouncer.ini"
        users.write_text(f'"{given["USER"]}" "{given["PASSWORD"]}"\n')
        server = f"host={given['HOST'] or HOST} port={given['PORT'] or 5432}"
        settings.write_text(
            f"[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = {HOST}\n"
            f"listen_port = {self.port}\nauth_type = trust\nauth_file = {users}\n"
            f"pool_mode = {self._mode}\nunix_socket_dir =\n"
            "ignore_startup_parameters = extra_float_digits,options\n"
        )

    def command(self) -> list[str]:
        """See :class:`Server`."""
        return [find_binary("pgbouncer"), str(self.folder / "pgbouncer.ini")]

    def answers(self) -> bool:
        """See :class:`Server`."""
        import psycopg

        given = self._database
        where = {"host": HOST, "port": self.port, "user": given["USER"], "dbname": given["NAME"]}
        try:
            with psycopg.connect(**where, password=given["PASSWORD"], connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def version(self) -> str:
        """See :class:`Server`."""
        return self.run(find_binary("pgbouncer"), "--version").splitlines()[0]
