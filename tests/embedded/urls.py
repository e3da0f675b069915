"""Views that say which process answers, and that fork another."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.work import tasks


def _wait(gate: str, said: str) -> None:
    Path(said).write_text(str(os.getpid()))
    while not Path(gate).exists():
        time.sleep(0.01)


def say(request: HttpRequest) -> HttpResponse:
    """Answer with the number of the process."""
    return HttpResponse(str(os.getpid()))


def enqueue(request: HttpRequest) -> HttpResponse:
    """Enqueue a task that leaves a trace."""
    tasks.trace(request.GET["trace"], request.GET.get("word", "x"))
    return HttpResponse(str(os.getpid()))


def fork(request: HttpRequest) -> HttpResponse:
    """Fork a process that lives until a file appears; return its number."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_wait, args=(request.GET["gate"], request.GET["said"]))
    child.start()
    return HttpResponse(str(child.pid))


urlpatterns = [path("", say), path("enqueue/", enqueue), path("fork/", fork)]
