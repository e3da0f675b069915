"""The files in ``deploy/``: whether they are valid, fit the worker, and whether their lines run."""

from __future__ import annotations

import configparser
import datetime
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from django.utils import timezone

from tests.processes import REPOSITORY, Process
from tests.project.test_docs import blocks_of, page_named, text_of
from tests.work import tasks
from wagtail_async_hooks import conf
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.crontab import Crontab
from wagtail_async_hooks.worker.health import STUCK_AFTER
from wagtail_async_hooks.worker.supervisor import GRACE

DEPLOY: Final = REPOSITORY / "deploy"
NEEDED: Final = conf.WorkerOptions().shutdown_timeout + GRACE
"""Seconds for which a worker may take to stop."""

Start = Callable[..., Process]


def read(name: str) -> str:
    """Return a file."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def unit() -> configparser.ConfigParser:
    """Return the unit for systemd."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment]  # as configparser's documentation says
    parser.read_string(read("wagtail-worker.service"))
    return parser


def compose() -> dict[str, Any]:
    """Return the services of Docker Compose."""
    services: dict[str, Any] = yaml.safe_load(read("compose.yaml"))["services"]
    return services


def pod() -> dict[str, Any]:
    """Return what runs in Kubernetes."""
    found: dict[str, Any] = yaml.safe_load(read("kubernetes.yaml"))["spec"]["template"]["spec"]
    return found


def procfile() -> dict[str, str]:
    """Return the commands of the Procfile."""
    return dict(line.split(": ", 1) for line in read("Procfile").splitlines())


def cron(what: str) -> tuple[str, str]:
    """Return when the line for cron with a command is due, and what it runs."""
    lines = [each for each in read("crontab").splitlines() if not each.startswith("#")]
    [line] = [each for each in lines if f"manage.py {what}" in each]
    *times, command = line.split(maxsplit=5)
    # As cron does: by a shell, in the folder where manage.py is.
    command = command.replace("/srv/mysite", str(REPOSITORY / "tests/site"))
    return " ".join(times), command.replace("venv/bin/python", shlex.quote(sys.executable))


def of_manage(command: list[str]) -> list[str]:
    """Return what stands behind ``manage.py`` in a command, on a port that is free."""
    arguments = command[command.index("manage.py") + 1 :]
    return [re.sub(r"\b8001$", "0", argument) for argument in arguments]


COMMANDS: Final = {
    "systemd": lambda: shlex.split(unit()["Service"]["ExecStart"]),
    "compose": lambda: compose()["worker"]["command"],
    "kubernetes": lambda: pod()["containers"][0]["command"],
    "Procfile": lambda: shlex.split(procfile()["worker"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_worker__runs_by_its_command_and_stops(start: Start, committed_db: None, name: str) -> None:
    arguments = of_manage(COMMANDS[name]())
    assert "--noreload" in arguments
    worker = start(*arguments)
    result = tasks.add(1, 2)
    assert result.get(blocking=True) == 3
    if "--health" in arguments:
        worker.wait_for(r"Health: http://")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


@pytest.mark.slow
def test_cron__runs_what_is_due(committed_db: None, tmp_path: Path) -> None:
    times, command = cron("wagtail_worker")
    assert Crontab.parse(times).text == "* * * * *"
    tasks.add(1, 2)
    with Process(["/bin/sh", "-c", command], tmp_path / "cron.txt", **_environment()) as drain:
        assert drain.wait() == 0
    assert drain.said() == ""  # which cron would send by e-mail
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


@pytest.mark.slow
def test_cron__tells_what_is_wrong(committed_db: None, tmp_path: Path) -> None:
    times, command = cron("wagtail_tasks doctor")
    assert Crontab.parse(times).text == "*/5 * * * *"
    command, _, _log = command.partition(" | logger ")
    tasks.add(1, 2)
    BackgroundTask.objects.update(enqueued_at=timezone.now() - datetime.timedelta(hours=1))
    told = tmp_path / "told.txt"
    environment = _environment() | {
        "TEST_ALERTS": json.dumps({"to": ["tests.work.tasks.write_alert"]}),
        "TEST_TOLD": str(told),
    }
    with Process(["/bin/sh", "-c", command], tmp_path / "cron.txt", **environment) as doctor:
        assert doctor.wait() == 2, doctor.said()
    assert told.read_text().startswith("[Saltmarsh Post] No worker is alive\n")


def _environment() -> dict[str, str]:
    from django.db import connection

    return {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SITE_DATABASE_NAME": str(connection.settings_dict["NAME"]),
    }


# systemd ------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd__finds_no_mistake(tmp_path: Path) -> None:
    text = read("wagtail-worker.service").replace("/srv/mysite/venv/bin/python", sys.executable)
    (tmp_path / "mysite-worker.service").write_text(text.replace("/srv/mysite", str(tmp_path)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "mysite-worker.service"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "mysite-worker.service" not in done.stderr
    assert done.returncode == 0


def test_systemd__has_patience() -> None:
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert float(service["TimeoutStopSec"]) > NEEDED
    # It is told of life twice in that time, unless a process is stuck.
    assert float(service["WatchdogSec"]) > STUCK_AFTER * 1.5


# Docker -------------------------------------------------------------------------------------


def test_docker__commands_are_lists() -> None:
    lines = [line for line in read("Dockerfile").splitlines() if re.match("[A-Z]+ ", line)]
    words = [line.split(maxsplit=1) for line in lines]
    assert {word for word, _ in words} == {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}
    [command] = [rest for word, rest in words if word == "CMD"]
    assert json.loads(command)[0] == "gunicorn"
    assert words[-2] == ["USER", "mysite"]


def test_compose__services_fit_together() -> None:
    services = compose()
    assert services.keys() == {"db", "redis", "migrate", "web", "worker"}
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert ("healthcheck" in services[name]) == (how["condition"] == "service_healthy")
    assert "build" in services["worker"]
    assert services["worker"]["environment"] == services["web"]["environment"]
    volumes = yaml.safe_load(read("compose.yaml"))["volumes"]
    assert {each.split(":")[0] for each in services["db"]["volumes"]} == set(volumes)


def test_compose__worker_has_time_and_is_asked_where_it_listens() -> None:
    worker = compose()["worker"]
    assert int(worker["stop_grace_period"].removesuffix("s")) > NEEDED
    port = worker["command"][-1]
    assert f"http://127.0.0.1:{port}/live" in worker["healthcheck"]["test"][-1]
    compile(worker["healthcheck"]["test"][-1], "healthcheck", "exec")


@pytest.mark.slow
def test_compose__probe_tells_how_the_worker_is(start: Start, committed_db: None) -> None:
    program = compose()["worker"]["healthcheck"]["test"][-1]
    worker = start(*of_manage(compose()["worker"]["command"]))
    port = worker.wait_for(r"Health: http://127\.0\.0\.1:(\d+)/")[1]
    probe = [sys.executable, "-c", program.replace(":8001", f":{port}")]
    assert subprocess.run(probe, capture_output=True, check=False).returncode == 0
    worker.stop()
    assert subprocess.run(probe, capture_output=True, check=False).returncode == 1


# Kubernetes ---------------------------------------------------------------------------------


def test_kubernetes__fits_the_worker() -> None:
    document = yaml.safe_load(read("kubernetes.yaml"))
    assert (document["apiVersion"], document["kind"]) == ("apps/v1", "Deployment")
    labels = document["spec"]["template"]["metadata"]["labels"]
    assert document["spec"]["selector"]["matchLabels"] == labels
    assert pod()["terminationGracePeriodSeconds"] > NEEDED
    [container] = pod()["containers"]
    [port] = container["ports"]
    assert container["command"][-1] == f"0.0.0.0:{port['containerPort']}"
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("readiness", "startup")}
    probes["liveness"] = container["livenessProbe"]["httpGet"]
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    paths = {name: probe["path"] for name, probe in probes.items()}
    assert paths == {"readiness": "/ready", "startup": "/live", "liveness": "/live"}


# The documentation --------------------------------------------------------------------------


def test_docs__name_all_files() -> None:
    linked = set(re.findall(r"\]\(\.\./\.\./deploy/([^)]+)\)", text_of(page_named("deployment"))))
    assert linked == {path.name for path in DEPLOY.iterdir()}


@pytest.mark.parametrize("page", [page_named("deployment"), REPOSITORY / "README.md"], ids=str)
def test_docs__show_what_is_in_the_files(page: Path) -> None:
    files = [_lines(path.read_text(encoding="utf-8")) for path in DEPLOY.iterdir()]
    shown = [
        block
        for block in blocks_of(page)
        if block.language in ("ini", "yaml")
        or (block.page.name == "deployment.md" and not block.language)
    ]
    assert shown
    for block in shown:
        assert any(_is_within(_lines(block.code), lines) for lines in files), block.code


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_within(wanted: list[str], lines: list[str]) -> bool:
    """Return whether lines stand among others, in their order."""
    remaining = iter(lines)
    return all(line in remaining for line in wanted)


def test_files__name_no_machine() -> None:
    for path in DEPLOY.iterdir():
        assert os.fspath(REPOSITORY) not in path.read_text(encoding="utf-8")
