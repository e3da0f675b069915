"""
Runs the demo: a Wagtail site, its worker and a webhook receiver, until Ctrl-C.

The environment variable PORT says where the site answers (8000); SITE_DATA, where it keeps its
data (.demo); SITE_HOOK_DELAY, how many seconds longer a share image takes (3); SITE_EMBEDDED=1,
that the web process is to run the tasks as well. Everything else that tests/site/settings.py reads
is handed on as it is.

honcho runs processes side by side as well, but kills them after five seconds, of which the worker
gets more for its running tasks; it does not heed SIGHUP, so that closing the terminal leaves its
processes behind; it ends when one of its processes does, of which two may die here and be started
again; and the steps before, and waiting for the site, would be here all the same.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parents[1]
MANAGE = [sys.executable, str(REPOSITORY / "tests" / "site" / "manage.py")]
HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 35
"""A little more than the 30 seconds that the worker gives its running tasks."""

RESTART_SECONDS = 3
"""After which what has died is started again, if there is no terminal to wait for Enter."""

WELCOME = """
The site is up: {url}/admin/
Log in as editor, moderator or admin; the password of each is "demo". All of them can publish; only
admin sees the report of all tasks.

Publish a page, and see how soon you have it back: the worker's lines follow below, and what it
made is at the foot of the page's public side. What you publish is also sent to a webhook. A page
that you schedule goes live at its time, to the second.

{crash}Ctrl-C stops it all; your changes are kept in {data}.
"""
CRASH = """To see what a crash does, kill {processes}, and publish.

"""

SURVIVED = {
    "worker": (
        "pages are published as before, and their tasks wait in the database for the next worker"
    ),
    "webhook": (
        "pages are published as before, and the task that calls it fails with a reason that the "
        "editor can read"
    ),
}
"""Processes that may die, each with what that shows."""


class DemoError(Exception):
    """Something that ends the demo; its text tells the user what."""


class Child:
    """A process whose output is shown line by line, each with the child's name before it."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.died_at: float | None = None
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C in the terminal is for this script alone, which then stops its children.
            start_new_session=True,
        )
        self.reader = Thread(target=self.show_output, daemon=True)
        self.reader.start()

    def show_output(self) -> None:
        """Pass every line on until the process closes its output."""
        for line in self.process.stdout or ():
            # The newline is part of the text: two threads' lines cannot run into each other.
            print(f"{self.name:>7} | {line.rstrip()}\n", end="", flush=True)

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.process.poll() is None

    def check_running(self) -> None:
        """Raise DemoError if the process has ended, unless it may, and did so without an error."""
        if self.running or (self.name in SURVIVED and self.process.returncode <= 0):
            return
        raise DemoError(f"{self.name} ended by itself, {self.end}.")

    @property
    def end(self) -> str:
        """How the process ended."""
        code = self.process.returncode
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


class Demo:
    """The children of one demo, and what they share."""

    def __init__(self, port: int, child: type[Child] = Child) -> None:
        self.port = port
        self.child = child
        self.url = f"http://{HOST}:{port}"
        self.children: list[Child] = []
        self.interrupted = False
        self.receiver_port = free_port()
        self.data = Path(os.environ.get("SITE_DATA", REPOSITORY / ".demo")).resolve()
        self.environment = {
            "SITE_HOOK_DELAY": "3",
            "SITE_WEBHOOK_URL": f"http://{HOST}:{self.receiver_port}/",
            **os.environ,
            "SITE_DATA": str(self.data),
            "SITE_URL": self.url,
            "PYTHONUNBUFFERED": "1",
        }

    def run(self) -> NoReturn:
        """Prepare the site and keep it up; only a DemoError or KeyboardInterrupt ends it."""
        check_port(self.port)
        self.data.mkdir(parents=True, exist_ok=True)
        # The checks are for the site as it will run; runserver and the worker make them.
        self.prepare("migrate", "--verbosity=0", "--skip-checks")
        # In immediate mode: its hundreds of index tasks would fill the screen.
        self.prepare("seed", "--skip-checks", SITE_BACKEND="", SITE_EMBEDDED="")
        log = self.data / "deliveries.jsonl"
        receiver = ["-m", "tests.site.receiver", f"--port={self.receiver_port}", f"--log={log}"]
        self.start("webhook", [sys.executable, *receiver])
        self.start("web", [*MANAGE, "runserver", "--noreload", f"{HOST}:{self.port}"])
        if self.environment.get("SITE_EMBEDDED") != "1":
            self.start("worker", [*MANAGE, "wagtail_worker", "--noreload"])
        self.wait_for_web()
        mortal = [child for child in self.children if child.name in SURVIVED]
        processes = " or ".join(f"the {each.name} (kill -9 {each.process.pid})" for each in mortal)
        crash = CRASH.format(processes=processes)
        print(WELCOME.format(url=self.url, data=self.data, crash=crash), flush=True)
        while True:
            self.watch()
            self.revive()

    def start(self, name: str, command: list[str], **environment: str) -> Child:
        """Start a child that `stop` will end, if nothing else has."""
        child = self.child(name, command, {**self.environment, **environment})
        self.children.append(child)
        return child

    def prepare(self, command: str, *options: str, **environment: str) -> None:
        """Run one of Django's commands to its end."""
        child = self.start(command, [*MANAGE, command, *options], **environment)
        while child.running:
            self.pause()
        if child.process.returncode:
            raise DemoError(f"{command} failed with exit code {child.process.returncode}.")
        self.children.remove(child)

    def wait_for_web(self) -> None:
        """Return once the site answers; raise DemoError if it does not."""
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.port):
            self.watch()
            if time.monotonic() > deadline:
                raise DemoError(f"The site has not answered for {START_SECONDS} seconds.")

    def watch(self) -> None:
        """Wait a moment, and raise DemoError if a child has ended."""
        self.pause()
        for child in self.children:
            child.check_running()

    def revive(self) -> None:
        """Say which children have died, and start them again when asked, or after a while."""
        dead = [child for child in self.children if not child.running]
        asks = sys.stdin.isatty()
        for child in dead:
            if child.died_at is None:
                child.died_at = time.monotonic()
                child.reader.join(timeout=5)
                then = "Press Enter to start it" if asks else "It is started"
                shows = SURVIVED[child.name]
                print(f"\nThe {child.name} died ({child.end}): {shows}. {then} again.", flush=True)
                if asks:
                    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # an Enter from before
        if not dead:
            return
        if asks and select.select([sys.stdin], [], [], 0)[0]:
            sys.stdin.readline()
        elif asks or time.monotonic() - max(each.died_at or 0 for each in dead) < RESTART_SECONDS:
            return
        for child in dead:
            self.children.remove(child)
            again = self.start(child.name, child.command, **child.environment)
            print(f"The {again.name} runs again, as process {again.process.pid}.\n", flush=True)

    def pause(self) -> None:
        """Wait a moment, and raise KeyboardInterrupt if a signal has come."""
        time.sleep(0.1)
        if self.interrupted:
            raise KeyboardInterrupt

    def interrupt(self, *_: object) -> None:
        """Take note of a signal: raised here, it could part a child from the list."""
        self.interrupted = True

    def stop(self) -> None:
        """End all children: with a request first, by force after a while or a second signal."""
        self.interrupted = False
        for child in self.children:
            child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while any(child.running for child in self.children):
            time.sleep(0.05)
            if self.interrupted or time.monotonic() > deadline:
                for child in self.children:
                    child.process.kill()
        for child in self.children:
            child.reader.join(timeout=5)


def answers(port: int) -> bool:
    """Return whether the site shows its log-in page."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/admin/login/")
        response = connection.getresponse()
        response.read()
        return response.status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def check_port(port: int) -> None:
    """Raise DemoError if the port is taken."""
    with socket.socket() as listener:
        # As runserver does: connections of an earlier demo that are still closing do not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise DemoError(
                f"Port {port} is in use; choose another one, for example: PORT=8123 make demo"
            ) from error


def main() -> int:
    """Run the demo, and return its exit code."""
    demo = Demo(port=int(os.environ.get("PORT", "8000")))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, demo.interrupt)
    try:
        demo.run()
    except DemoError as error:
        print(error, file=sys.stderr, flush=True)
        code = 1
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        code = 0
    finally:
        demo.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
