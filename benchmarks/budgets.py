"""What it may cost, and whether it does: each budget is a limit of a figure that runs have told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from benchmarks.measures.short import SIZES
from benchmarks.picking import Pick, Value, difference, ratio
from benchmarks.results import Results


class Verdict(Enum):
    """What became of a budget; the values are for people."""

    MET = "met"
    NOT_MET = "**not met**"
    NOT_MEASURED = "not measured in this run"


@dataclass(frozen=True)
class Budget:
    """One limit.

    :param key: names it in :data:`NOTES`.
    :param what: a sentence's part, for people.
    :param figure: the number that is limited.
    :param limit: the worst that meets it.
    :param unit: follows the number; ``×`` for a ratio.
    :param at_least: whether a higher number is the better one.
    """

    key: str
    what: str
    figure: Value
    limit: float
    unit: str = "×"
    at_least: bool = False

    def verdict(self, results: Results) -> Verdict:
        """Return whether it is met."""
        figure = self.figure(results)
        if figure is None:
            return Verdict.NOT_MEASURED
        met = figure >= self.limit if self.at_least else figure <= self.limit
        return Verdict.MET if met else Verdict.NOT_MET

    def told_limit(self) -> str:
        """Return the limit for people."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{self.unit}"

    def told_figure(self, results: Results) -> str:
        """Return the number for people."""
        figure = self.figure(results)
        return "–" if figure is None else f"{figure:,.{_digits(self.limit)}f}{self.unit}"


def _digits(limit: float) -> int:
    """Return so many digits that a figure near the limit can be told from it."""
    return 2 if limit < 3 else 1


# The budgets --------------------------------------------------------------------------------

_NAMES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
_WITH_MARIADB: Final = {**_NAMES, "mysql": "MariaDB"}
"""Where the measures that cost little are taken on all three."""
_STORAGES: Final = {
    ("sqlite", False): "SQLite",
    ("postgres", False): "PostgreSQL",
    ("mysql", False): "MariaDB",
    ("sqlite", True): "Redis over SQLite",
    ("postgres", True): "Redis over PostgreSQL",
}


def _enqueue() -> Iterator[Budget]:
    for contender, bare, what, limit in (
        ("ours_hook", "ours_create_hook", "recording a hook", 1.1),
        ("ours", "ours_create", "recording a task", 1.1),
    ):
        for database, name in _WITH_MARIADB.items():
            yield Budget(
                f"{contender}_{database}",
                f"{what} on {name}, against a bare `create()` of such a row",
                ratio(
                    Pick("enqueue", "time", contender, database),
                    Pick("enqueue", "time", bare, database),
                ),
                limit,
            )


def _drain() -> Iterator[Budget]:
    nothing = {"seconds": 0.0}

    def rate(contender: str, database: str, redis: bool) -> Value:
        return Pick("drain", "rate", contender, database, redis, nothing)

    sqlite, postgres, redis = ("sqlite", False), ("postgres", False), ("", True)
    mariadb = ("mysql", False)
    over_sqlite, over_postgres = ("sqlite", True), ("postgres", True)
    for key, ours, title, contender, theirs, limit in (
        ("huey_sqlite", sqlite, "SqliteHuey", "huey_itself", sqlite, 2),
        ("huey_postgres", postgres, "PostgresHuey", "huey_itself", postgres, 1.75),
        ("db_sqlite", sqlite, "django-tasks-db", "django_tasks_db", sqlite, 10),
        ("db_postgres", postgres, "django-tasks-db", "django_tasks_db", postgres, 15),
        ("huey_mysql", mariadb, "SqlHuey", "huey_itself", mariadb, 1),
        ("db_mysql", mariadb, "django-tasks-db", "django_tasks_db", mariadb, 10),
        ("redis_sqlite", over_sqlite, "PriorityRedisHuey", "huey_itself", redis, 1.2),
        ("redis_postgres", over_postgres, "PriorityRedisHuey", "huey_itself", redis, 0.8),
    ):
        yield Budget(
            f"drain_{key}",
            f"tasks done per second on {_STORAGES[ours]}, against {title}",
            ratio(rate("ours", *ours), rate(contender, *theirs)),
            limit,
            at_least=True,
        )


def _logged() -> Iterator[Budget]:
    def rate(logs: bool, database: str, redis: bool) -> Value:
        return Pick("logged", "rate", "ours", database, redis, {"logs": logs})

    for (database, redis), name in _STORAGES.items():
        yield Budget(
            f"logged_{database}{'_redis' if redis else ''}",
            f"time of a task on {name} with the log as it is by default, against warnings only",
            ratio(rate(False, database, redis), rate(True, database, redis)),
            1.1,
        )


def _short() -> Iterator[Budget]:
    peers = {"sqlite": "SqliteHuey", "postgres": "PostgresHuey"}
    for database, name in _NAMES.items():
        for (threads, processes), seconds in SIZES.items():
            if not seconds:
                continue
            options = {"threads": threads, "processes": processes, "seconds": seconds}
            yield Budget(
                f"short_{database}_{threads}_{processes}",
                f"tasks of 1 ms done per second on {name}, {threads} × {processes} (threads × "
                f"processes), against {peers[database]}",
                ratio(
                    Pick("short", "rate", "ours", database, options=options),
                    Pick("short", "rate", "huey_itself", database, options=options),
                ),
                1,
                at_least=True,
            )
    for database, limit in (("sqlite", 200), ("postgres", 150)):
        yield Budget(
            f"short_cpu_{database}",
            f"processor time of a worker for a task on {_NAMES[database]}, beyond its function",
            Pick("short", "cpu", "ours", database, options={"threads": 1, "processes": 1}),
            limit,
            " µs",
        )


def _waiting() -> Iterator[Budget]:
    def rate(contender: str, database: str, redis: bool) -> Value:
        return Pick("waiting", "rate", contender, database, redis, {"at_once": 100})

    for key, ours, title, contender, theirs in (
        ("procrastinate", ("postgres", False), "procrastinate", "procrastinate_itself", None),
        ("celery", ("postgres", True), "Celery with gevent", "celery_itself", ("", True)),
    ):
        yield Budget(
            f"waiting_{key}",
            f"calls of 200 ms per second, 100 at once, on {_STORAGES[ours]}, against {title}",
            ratio(rate("ours", *ours), rate(contender, *(theirs or ours))),
            1,
            at_least=True,
        )


def _pruning() -> Iterator[Budget]:
    for database, name in _NAMES.items():
        yield Budget(
            f"pruning_{database}",
            f"99 of 100 claims on {name} while 1,000,000 old tasks are deleted, against before",
            Pick("pruning", "ratio", "ours", database, options={"ended": 1_000_000}),
            2,
        )


def _killed() -> Iterator[Budget]:
    for (database, redis), name in _STORAGES.items():
        yield Budget(
            f"killed_{database}{'_redis' if redis else ''}",
            f"tasks of 200 that are lost on {name} when workers are killed five times",
            Pick("killed", "lost", "ours", database, redis),
            0,
            "",
        )


def _growth() -> Iterator[Budget]:
    def of(metric: str) -> Value:
        return Pick("growth", metric, "ours", "postgres")

    during = "on PostgreSQL, in the last third of ten minutes at full load, against the first"
    yield Budget("growth_claim", f"99 of 100 claims {during}", of("knee"), 1.3)
    yield Budget(
        "growth_index",
        f"size of the indexes for each row {during}",
        ratio(of("of_a_row_3"), of("of_a_row_1")),
        1.3,
    )


def _pickup() -> Iterator[Budget]:
    for measure, rest in (("pickup", 1.0), ("rested", 60.0)):
        for (database, redis), name in _STORAGES.items():
            yield Budget(
                f"pickup_{database}{'_redis' if redis else ''}_{rest:g}",
                f"picking a task up, p50, on {name}, after {rest:g} s",
                Pick(measure, "p50", "ours", database, redis, {"idle": rest}),
                3 if redis else {"sqlite": 3, "postgres": 4, "mysql": 10}[database],
                " ms",
            )


_ROWS: Final = ("waiting", "ended")


def _claim() -> Iterator[Budget]:
    def of(database: str, waiting: int, ended: int) -> Value:
        options = {"waiting": waiting, "ended": ended}
        return Pick("claim", "claim", "ours", database, options=options)

    for database, name in _WITH_MARIADB.items():
        few = of(database, 1_000, 0)
        for what, many in (
            ("waiting", of(database, 1_000_000, 0)),
            ("ended", of(database, 1_000, 1_000_000)),
        ):
            yield Budget(
                f"claim_{database}_{what}",
                f"a claim on {name} with 1,000,000 tasks {what}, against 1,000 waiting",
                ratio(many, few),
                1.1,
            )


def _bounds() -> Iterator[Budget]:
    for database, name in _NAMES.items():
        for bounds, others, limit in (
            ("some queues", 0, 1.25),
            ("one queue", 0, 1.25),
            ("all but one queue", 0, 1.25),
            ("a pause", 0, 1.25),
            ("a limit", 0, 1.25),
            ("a limit elsewhere", 0, 1.25),
            ("some queues", 1_000_000, 1.3),
            ("one queue", 1_000_000, 1.3),
            ("all but one queue", 1_000_000, 1.3),
        ):
            more = f", with {others:,} tasks of another queue waiting" if others else ""
            options = {"bounds": bounds, "others": others, "behind": 0}
            yield Budget(
                f"bounds_{database}_{bounds.replace(' ', '_')}_{others}",
                f"a claim on {name}, bounded by {bounds}{more}, against one without bounds",
                Pick("bounds", "ratio", "ours", database, options=options),
                limit,
            )
        yield Budget(
            f"exclusive_{database}",
            f"a claim on {name} while 100,000 tasks wait for one exclusive key, against none",
            Pick("bounds", "ratio", "ours", database, options={"behind": 100_000}),
            1.3,
        )


def _snapshot() -> Iterator[Budget]:
    def rate(held: bool) -> Value:
        return Pick("snapshot", "rate", "ours", "postgres", options={"held": held})

    yield Budget(
        "snapshot",
        "tasks done per second on PostgreSQL while another transaction stays open, against none",
        ratio(rate(True), rate(False)),
        0.9,
        at_least=True,
    )


def _publish() -> Iterator[Budget]:
    for database, name in _WITH_MARIADB.items():

        def of(contender: str, metric: str, database: str = database) -> Value:
            return Pick("publish", metric, contender, database)

        # Both without the demo's hooks: on Wagtail alone these would not be dropped, but take the
        # editor's time.
        against = "against Wagtail with a backend that drops its tasks"
        yield Budget(
            f"publish_{database}",
            f"a publish on {name}, {against}",
            ratio(of("ours_without_hooks", "time"), of("dropped", "time")),
            1.02,
        )
        yield Budget(
            f"publish_queries_{database}",
            f"queries of a publish on {name}, {against}",
            difference(of("ours_without_hooks", "queries"), of("dropped", "queries")),
            3,
            " more",
        )
        yield Budget(
            f"publish_inserts_{database}",
            f"INSERT statements of a publish with five functions of one hook, beyond the publish "
            f"without them, on {name}",
            difference(of("ours_five_hooks", "inserts"), of("ours_without_hooks", "inserts")),
            1,
            "",
        )


def _editing() -> Iterator[Budget]:
    for database, name in _NAMES.items():
        for page, what in (("edit", "the edit view"), ("listing", "a list of pages")):

            def of(contender: str, metric: str, database: str = database) -> Value:
                return Pick("editing", metric, contender, database)

            for metric, said, limit, unit in (
                (page, f"{what} on {name}", 3, " ms more"),
                (f"{page}_queries", f"queries of {what} on {name}", 2, " more"),
            ):
                yield Budget(
                    f"editing_{metric}_{database}",
                    f"{said}, against Wagtail alone",
                    difference(of("ours_without_hooks", metric), of("bare", metric)),
                    limit,
                    unit,
                )


def _bulk() -> Iterator[Budget]:
    def memory(pages: int) -> Value:
        options = {"action": "publish", "pages": pages}
        return Pick("bulk", "memory", "ours_without_hooks", "sqlite", options=options)

    yield Budget(
        "bulk_memory",
        "memory of a worker that has published 5,000 pages by one bulk action, against 500",
        ratio(memory(5_000), memory(500)),
        1.1,
    )


def _measuring() -> Iterator[Budget]:
    yield Budget(
        "measuring",
        "a hook's function that renders a small template and is measured, against one that is not",
        ratio(
            Pick("measuring", "work", "ours_measured", "sqlite"),
            Pick("measuring", "work", "ours", "sqlite"),
        ),
        1.1,
    )


def _reports() -> Iterator[Budget]:
    for database, name in _NAMES.items():
        for metric, what, limit, unit in (
            ("all", "the queries of the report page", 300, " ms"),
            ("queries", "how many queries the report page makes", 15, ""),
        ):
            yield Budget(
                f"report_{metric}_{database}",
                f"{what}, over 1,000,000 tasks on {name}",
                Pick("reports", metric, "ours", database, options={"rows": 1_000_000}),
                limit,
                unit,
            )


def _admin() -> Iterator[Budget]:
    for database, name in _NAMES.items():
        for metric, what, limit, unit in (
            ("slowest", "the slowest page of the admin", 150, " ms"),
            ("queries", "how many queries a page of the admin makes at most", 15, ""),
        ):
            yield Budget(
                f"admin_{metric}_{database}",
                f"{what}, over 1,000,000 tasks on {name}",
                Pick("admin", metric, "ours", database, options={"rows": 1_000_000}),
                limit,
                unit,
            )


def _figures() -> Iterator[Budget]:
    for database, name in _WITH_MARIADB.items():
        for spread, told in (
            ("busy", "in all states"),
            ("waiting", "that wait"),
            ("succeeded", "that succeeded"),
        ):
            yield Budget(
                f"figures_{database}_{spread}",
                f"the slowest figure, over 1,000,000 tasks {told}, on {name}",
                Pick(
                    "figures",
                    "slowest",
                    "ours",
                    database,
                    options={"rows": 1_000_000, "spread": spread},
                ),
                150,
                " ms",
            )


def _footprint() -> Iterator[Budget]:
    for metric, what, limit, unit in (
        ("cpu", "an idle worker, of a core", 1, " %"),
        ("over", "memory of an idle worker, over the bare site", 20, " MB"),
    ):
        for (database, redis), name in _STORAGES.items():
            yield Budget(
                f"{metric}_{database}{'_redis' if redis else ''}",
                f"{what}, on {name}",
                Pick("footprint", metric, "ours", database, redis),
                limit,
                unit,
            )
    bare = Pick("importing", "loading", "bare", "sqlite")
    for key, contender, where, limit in (
        ("import", "ours_without_redis", "", 25),
        ("import_redis", "ours", ", where redis-py is installed", 30),
    ):
        yield Budget(
            key,
            "processor time for loading the site in a web process, beyond the same site without "
            f"the package{where}",
            difference(Pick("importing", "loading", contender, "sqlite"), bare),
            limit,
            " ms",
        )


ALL: Final = (
    *_enqueue(),
    *_drain(),
    *_logged(),
    *_short(),
    *_waiting(),
    *_killed(),
    *_pickup(),
    *_claim(),
    *_bounds(),
    *_pruning(),
    *_growth(),
    *_snapshot(),
    *_publish(),
    *_editing(),
    *_bulk(),
    *_measuring(),
    *_reports(),
    *_figures(),
    *_admin(),
    *_footprint(),
)
"""The budgets, in the order of the page."""

_WORKER: Final = (
    "Python computes. A task that does nothing takes one thread on SQLite some 250 µs of "
    "processor time: finishing it and claiming the next 115 in SQLite, which writes some five "
    "pages to its log, and 20 in Python; Huey's execution 45, checking and reading the message "
    "45, signals 9, connections 7. The threads of a process take turns, so one gets as much done "
    "as two. A lock around the statement made two threads alternate ten times as often, and take "
    "up to twice as long. Claiming several tasks at once would keep them from other workers, and "
    "recording several outcomes at once would repeat finished tasks after a crash. SqliteHuey "
    "never waits for the disk (synchronous=OFF), which gave ours an eighth more in a trial."
)
_SERVER: Final = (
    "The server works for some 0.3 ms on the call that finishes a task and claims the next, "
    "half of that in the function itself: two UPDATEs, each of which writes to all indexes that a "
    "row is in, as the state is a condition of most of them (so none can be a heap-only one). A "
    "fifth is reading and planning the call, which a prepared statement would save, but not behind "
    "a proxy that pools transactions; the rest is the commit and the way there and back."
)
_TWO_COMMITS: Final = (
    "Two commits wait for the disk one after the other: that which records the task, and that "
    "which claims it. In a trial without waiting for either, a third of the time remained."
)
_SHORT: Final = (
    "The threads of a process take turns in Python, so what counts is the processor time of a "
    "task, and where tasks sleep it doubles: whoever wakes up finds the processor's caches used by "
    "others. The same statement took 71 to 93 µs right after another one and 166 after 1 ms; that "
    "another connection writes meanwhile is 12 of it. Ours is some 180 µs where one task follows "
    "the other in a thread: the statement 85, "
    "Huey's execution and what surrounds the function 45, reading and checking the message 29, "
    "signals 14, and the rest is the claim and the outcome. Huey's storage on SQLite neither waits "
    "for the disk nor signs, and keeps nothing of a task that has begun."
)
_ROUND_TRIP: Final = (
    "With few threads the time of the call counts, some 0.5 ms here: 135 µs in the function, and "
    "the rest is the commit, the way to the server and back, parsing the call (41 µs, which a "
    "prepared statement would save), and waking up on both sides. Huey deletes a task when it "
    "begins, and writes nothing at its end. With four threads ours gets more done than Huey."
)
_WAITS_OF_SQLITE: Final = (
    "SQLite tells nobody that its lock is free: who finds it taken tries again after 1, 2, 5 and "
    "10 ms. One deletion takes less, and as much time is left after it, but one in a hundred "
    "claims meets two of them."
)
_LOOKS: Final = (
    "MariaDB tells nobody of a new row, so that the server looks for one a hundred times a second, "
    "which takes 0.6 % of a core: a task waits 5 ms for that on average, and more often would cost "
    "more than the 1 % that a rest may. The rest are the commits that record the task and claim it."
)
_PLACES: Final = (
    "500 are possible at most. The worker computes for less than half of the time, Celery's for "
    "four fifths. But a call gives its place to the next one by a commit of PostgreSQL, which its "
    "two threads make one after the other, so that a place stands empty for some 14 to 28 ms after "
    "200. Celery forgets a task before it begins, and commits nothing at its end."
)
_EDITING: Final = (
    "A profile has 0.4 ms of the package's functions in the edit view, and 1.4 in a list of ten "
    "pages, half of that the query for what became of each. The rest are buttons and the menu "
    "within Wagtail's templates, and Python's garbage collector. Without the package the same page "
    "took 99 and 103 ms in two runs."
)
_CLAIM: Final = (
    "What a claim reads and writes does not grow with the table, which tests count. The rest is "
    "the host: on SQLite the same case took 84 and 138 µs in two rounds."
)
NOTES: Final[Mapping[str, str]] = {
    **{f"editing_{page}_{each}": _EDITING for page in ("edit", "listing") for each in _NAMES},
    **{f"claim_{each}_{rows}": _CLAIM for each in ("sqlite", "mysql") for rows in _ROWS},
    "over_mysql": (
        "PyMySQL's first connection takes 1.7 MB, psycopg's 0.5. A worker has one for each thread, "
        "and the bare site none."
    ),
    **{f"short_sqlite_{size}": _SHORT for size in ("2_1", "4_1", "1_2")},
    **{f"short_postgres_{size}": _ROUND_TRIP for size in ("2_1", "4_1", "1_2")},
    "short_cpu_sqlite": _SHORT,
    "short_cpu_postgres": (
        "As on SQLite, but for the statement: sending it and reading the answer take 100 µs of the "
        "worker, most of it within libpq and the kernel."
    ),
    "pruning_sqlite": _WAITS_OF_SQLITE,
    **{
        f"pickup_postgres{redis}_{rest:g}": _TWO_COMMITS
        for redis in ("", "_redis")
        for rest in (1.0, 60.0)
    },
    **{f"pickup_mysql_{rest:g}": _LOOKS for rest in (1.0, 60.0)},
    "waiting_celery": _PLACES,
    "snapshot": (
        "While another transaction holds its snapshot, no version of a row goes away, so the "
        "indexes grow. A claim looks behind the last one of its thread, but passes over all that "
        "was waiting up to twenty times a second, to find what came back."
    ),
    **{
        f"claim_postgres_{rows}": (
            "What a task writes does not grow with the table: 1.5 kB in some 12 records of the "
            "log, with a thousand rows and with a million, since identifiers ascend. With random "
            "ones it was 7.0 kB with a million. Nor does what a claim reads, which tests count. "
            "The rest is the host: in one table the same call took 500 to 770 µs within minutes."
        )
        for rows in _ROWS
    },
    "drain_huey_sqlite": _WORKER,
    "drain_db_sqlite": _WORKER,
    "drain_huey_postgres": _SERVER,
    "drain_db_postgres": _SERVER,
    "drain_redis_postgres": _SERVER,
    "publish_sqlite": (
        "Wagtail enqueues its search and reference index twice for each publish: in the "
        "transaction that saves the revision, and in the one that publishes. The two of a "
        "transaction are one INSERT; those of the first transaction may be running by the second. "
        "What records them is called twice in some 40 ms, so the processor's caches have forgotten "
        "it, and a call takes more than twice what it takes where one follows the other."
    ),
    **{
        f"publish_{each}": "As on SQLite; each INSERT is a round trip."
        for each in ("postgres", "mysql")
    },
    "import": (
        "By a profile of 51 ms, Python makes classes for 21: 18 dataclasses take 9, 45 named "
        "tuples 7 and Django's part of 15 models 5. The rest is to find, read and run 147 modules, "
        "0.2 ms each. Nothing of Python and of other libraries is imported for them; views and "
        "checks are loaded when they are first used. What a publish needs is not: else the first "
        "editor of each process would wait for it, and processes that are forked would not share "
        "its memory."
    ),
    "import_redis": (
        "40 ms of it are redis-py, 61 modules with asyncio's and cluster clients. Huey imports it "
        "wherever it is installed, without an option, and the storage in the database does not "
        "need it. Hiding it while Huey is imported would break a site's other queues on Redis. "
        "There is [a patch for Huey](../contributing/huey.md)."
    ),
}
"""By the key of a budget that may not be met: what a profile shows as the reason, and what would
help. The page has the notes of those that are not met."""
