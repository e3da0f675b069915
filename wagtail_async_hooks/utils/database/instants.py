"""Instants: the field that keeps times in UTC, the database's clock, and both kinds of Django's.

A time of ours is an instant, whatever ``USE_TZ``, ``TIME_ZONE``, the zone of a connection, or that
of a session is. With ``USE_TZ=False`` Django keeps local times, of which one hour comes twice a
year, and one does not come. So the columns hold UTC, and what is read of them is aware.
"""

from __future__ import annotations

import datetime
from typing import Any, Final, NamedTuple

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Value, When
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.time import aware


def adapted(moment: datetime.datetime | None, connection: BaseDatabaseWrapper) -> Any:
    """Return an instant as the driver of a connection takes it."""
    if moment is None:
        return None
    if connection.vendor == "postgresql":  # whose columns are instants
        return moment
    if moment.tzinfo is not datetime.UTC:
        moment = moment.astimezone(datetime.UTC)
    return str(moment.replace(tzinfo=None))


class InstantField(models.DateTimeField):  # type: ignore[type-arg]  # not generic at run time
    """An instant: in UTC in the database, and aware in Python, under any settings.

    Naive values that are given, also to filters, are in the site's time zone, as Django's are.
    """

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Return what the driver takes; expressions are left to Django."""
        value = value if prepared else self.get_prep_value(value)
        if not isinstance(value, datetime.datetime):
            return value
        return adapted(aware(value), connection)

    def from_db_value(
        self, value: Any, expression: Any, connection: BaseDatabaseWrapper
    ) -> datetime.datetime | None:
        """Return the instant of what Django has read: perhaps naive, perhaps of some zone."""
        if value is None:
            return None
        if connection.vendor != "postgresql":  # the column has UTC, whatever Django took it for
            instant: datetime.datetime = value.replace(tzinfo=datetime.UTC)
            return instant
        if timezone.is_naive(value):
            value = value.replace(tzinfo=_zone_of_session(connection))
        return value.astimezone(datetime.UTC)  # type: ignore[no-any-return]


def _zone_of_session(connection: BaseDatabaseWrapper) -> datetime.tzinfo:
    """Return the zone in which PostgreSQL's session tells times, whose driver drops it.

    psycopg marks the second of two equal times by its ``fold``.
    """
    driver: Any = connection.connection
    if driver is None or not hasattr(driver, "pgconn"):  # psycopg2
        return timezone.get_default_timezone()
    zone: datetime.tzinfo = driver.info.timezone
    return zone


class DatabaseNow(Now):
    """The database's clock: an instant."""

    output_field = InstantField()

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Return this host's clock: SQLite has no other, and its own functions tell no more than
        milliseconds.
        """
        return "%s", [adapted(clock.now(), connection)]

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """In UTC, whatever the session's time zone is."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


LONGEST: Final = 3_000_000_000.0
"""Seconds, some 95 years: what is later, or was earlier, is so late that nobody will notice."""


class FromNow(NamedTuple):
    """So many seconds from what the database's clock says when a statement runs.

    It stands for the value of a column, in statements of ours and in Django's.
    """

    seconds: float = 0.0

    def sql(
        self, connection: BaseDatabaseWrapper, at: datetime.datetime | None = None
    ) -> tuple[str, list[Any]]:
        """Return it in SQL, with its parameters.

        :param at: what the clock of this host said, for one statement that tells several times.
        """
        seconds = self.seconds and max(-LONGEST, min(self.seconds, LONGEST))
        if connection.vendor not in _CLOCKS:  # SQLite, see DatabaseNow
            moment = at or clock.now()
            if seconds:
                moment += datetime.timedelta(seconds=seconds)
            return "%s", [adapted(moment, connection)]
        now, later = _CLOCKS[connection.vendor]
        if not seconds:
            return now, []
        return later, [round(seconds * 1e6) if connection.vendor == "mysql" else seconds]

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """Return it as one of Django's expressions, for Django."""
        seconds = max(-LONGEST, min(self.seconds, LONGEST))
        moment: Any = DatabaseNow()
        if seconds:
            moment += datetime.timedelta(seconds=seconds)
        return moment.resolve_expression(*args, **kwargs)


class StateAt(NamedTuple):
    """The state of a new task that is due at an instant: ``scheduled``, or ``waiting``.

    The database's clock says which of them.
    """

    moment: datetime.datetime

    def sql(
        self, connection: BaseDatabaseWrapper, at: datetime.datetime | None = None
    ) -> tuple[str, list[Any]]:
        """Return it in SQL, with its parameters; see :meth:`FromNow.sql`."""
        now, parameters = NOW.sql(connection, at)
        text = f"CASE WHEN %s > {now} THEN 'scheduled' ELSE 'waiting' END"
        return text, [adapted(self.moment, connection), *parameters]

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """Return it as one of Django's expressions, for Django."""
        is_later = GreaterThan(Value(self.moment, InstantField()), DatabaseNow())
        scheduled = When(is_later, then=Value("scheduled"))
        return Case(scheduled, default=Value("waiting")).resolve_expression(*args, **kwargs)


NOW: Final = FromNow()
"""What the database's clock says when the statement runs."""

_CLOCKS: Final = {
    "postgresql": (
        "STATEMENT_TIMESTAMP()",
        "STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second'",
    ),
    "mysql": ("UTC_TIMESTAMP(6)", "UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND"),
}
"""By vendor: the clock, and so much later. Not the start of the transaction; in UTC."""


def placed(value: Any, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return what a statement of ours says for the value of a column, and its parameters."""
    if isinstance(value, FromNow | StateAt):
        return value.sql(connection)
    return "%s", [value]


def in_python(value: Any) -> Any:
    """Return the value of a column as the database will have it, as far as that is known here."""
    if isinstance(value, FromNow):
        return clock.database_now() + datetime.timedelta(seconds=value.seconds)
    if isinstance(value, StateAt):
        return "scheduled" if value.moment > clock.database_now() else "waiting"
    return value


def ask(connection: BaseDatabaseWrapper) -> datetime.datetime:
    """Return what the clock of a database says; one query, but none on SQLite."""
    if connection.vendor == "sqlite":
        return clock.now()
    text, parameters = NOW.sql(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {text}", parameters)
        (said,) = cursor.fetchone()
    instant = InstantField().from_db_value(said, None, connection)
    assert instant is not None
    return instant
