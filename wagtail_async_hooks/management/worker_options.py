"""The options of ``wagtail_worker``, and what their values have to be."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from wagtail_async_hooks.conf import validators
from wagtail_async_hooks.worker.health_server import Address


def add(parser: ArgumentParser) -> None:
    """Add them to a parser."""
    _add_sizes(parser)
    _add_queues(parser)
    _add_ends(parser)
    _add_code(parser)
    _add_looks(parser)


def _add_sizes(parser: ArgumentParser) -> None:
    """Add those that say how much it does at once."""
    parser.add_argument(
        "--threads",
        type=_at_least_one,
        help='how many tasks to run at once (default: WAGTAIL_TASKS["WORKER"]["threads"], 4)',
    )
    parser.add_argument(
        "--processes",
        type=_at_least_one,
        help="how many processes to run, each with that many threads; those that die are "
        'replaced (default: WAGTAIL_TASKS["WORKER"]["processes"], 1)',
    )
    parser.add_argument(
        "--coroutines",
        type=_count,
        metavar="N",
        help="how many coroutine functions each process runs at once, beside its threads; 0 to "
        'run them in threads (default: WAGTAIL_TASKS["WORKER"]["coroutines"], 20)',
    )


def _add_queues(parser: ArgumentParser) -> None:
    """Add those that say what it serves."""
    parser.add_argument(
        "--queue",
        action="append",
        type=_queue,
        dest="queues",
        metavar="NAME",
        help="serve this queue; may be given several times (default: all, or what "
        'WAGTAIL_TASKS["WORKER"] says)',
    )
    parser.add_argument(
        "--exclude-queue",
        action="append",
        type=_queue,
        dest="exclude_queues",
        metavar="NAME",
        help="serve all queues but this one; may be given several times",
    )
    parser.add_argument(
        "--no-schedule",
        action="store_false",
        dest="schedule",
        help="leave what recurs to other workers",
    )


def _add_ends(parser: ArgumentParser) -> None:
    """Add those that say when it ends, or is replaced."""
    parser.add_argument("--drain", action="store_true", help="run what is due, then end; for cron")
    parser.add_argument(
        "--max-seconds",
        type=_positive,
        metavar="S",
        help="end after S seconds, once the running tasks have finished",
    )
    parser.add_argument(
        "--max-tasks",
        type=_whole_number,
        metavar="N",
        help="replace a process after N tasks, once another one works in its place (default: "
        'WAGTAIL_TASKS["WORKER"]["max_tasks"], never)',
    )
    parser.add_argument(
        "--max-memory",
        type=_positive,
        metavar="MB",
        help="replace a process that takes more than so many megabytes, in the same way "
        '(default: WAGTAIL_TASKS["WORKER"]["max_memory"], never)',
    )


def _add_code(parser: ArgumentParser) -> None:
    """Add those that say what it does when code changes."""
    parser.add_argument(
        "--reload",
        action="store_true",
        default=None,
        help="start anew when code changes, in one process (default: if DEBUG is on)",
    )
    parser.add_argument(
        "--noreload",
        action="store_false",
        default=None,
        dest="reload",
        help="go on with the code as it is now",
    )


def _add_looks(parser: ArgumentParser) -> None:
    """Add those that say where it tells how it is."""
    parser.add_argument(
        "--health",
        type=_address,
        metavar="[HOST:]PORT",
        help="answer probes by HTTP at /live and /ready, for this host only unless another "
        "address is given",
    )
    parser.add_argument(
        "--metrics",
        type=_metrics_address,
        metavar="ADDRESS:PORT",
        help="show metrics to Prometheus there, such as 127.0.0.1:9464 (default: "
        'WAGTAIL_TASKS["WORKER"]["metrics"], or nowhere)',
    )


def _queue(text: str) -> str:
    if expected := validators.queue_name(text):
        raise ArgumentTypeError(f"should be {expected}, but is {text!r}.")
    return text


def _metrics_address(text: str) -> str:
    if expected := validators.address(text):
        raise ArgumentTypeError(f"should be {expected}, but is {text!r}.")
    return text


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _address(text: str) -> Address:
    try:
        return Address(text)
    except ValueError:
        raise ArgumentTypeError(
            f"should be a port such as 8001, or an address such as 0.0.0.0:8001, but is {text!r}."
        ) from None


def _count(text: str) -> int:
    number = int(text)
    if validators.count(number):
        raise ValueError
    return number


def _whole_number(text: str) -> int:
    number = int(text)
    if validators.positive(number):
        raise ValueError
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number
