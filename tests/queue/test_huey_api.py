"""Huey's own tests of its public API, on the task queue over a real database.

They run as they are. Those that cannot apply are named here with the reason, and are expected to
fail: one that begins to pass, or to fail for the first time, is noticed.
"""

from __future__ import annotations

import gc
import unittest
from typing import Any, Final

import pytest
from huey.api import Huey, RateLimit

from tests import huey_tests
from wagtail_async_hooks.queue import retries
from wagtail_async_hooks.queue.task_queue import TaskQueue

LATER = "a task for later is scheduled at once, where Huey leads it through the queue"
ERRORS = "an error is withheld until the retries are used up (store_intermediate_errors=False)"
COUNT = "results are columns of the ledger's rows, and not counted among what is kept by key"
PLACE = "a task that is retried keeps its place among its equals, where Huey appends it"
LOCAL = "the test reckons in local time with utc=False; the task queue is always in UTC"
NONE = "None is a result like any other"
MEMORY = "the test looks into the attributes of Huey's memory storage"
COROUTINE = "coroutine functions are accepted"
OPTION = "the test makes a Huey of its own with other options, and the fixture replaces it"
SERIALIZER = (
    "the task queue's messages carry a context, which a serializer of Huey's has no place for"
)
CLASS = "an exception whose class takes more than a text arrives as a RemoteError"

NOT_APPLICABLE: Final = {
    "test_api.TestAsyncTasks.test_async_task_rejected": COROUTINE,
    "test_api.TestChordPrimitive.test_chord": COUNT,
    "test_api.TestChordPrimitive.test_chord_bookkeeping_cleared": MEMORY,
    "test_api.TestChordPrimitive.test_chord_error": PLACE,
    "test_api.TestChordPrimitive.test_chord_error_cb": ERRORS,
    "test_api.TestChordPrimitive.test_chord_member_retry_then_success": PLACE,
    "test_api.TestChordPrimitive.test_chord_scheduling": LATER,
    "test_api.TestChordPrimitive.test_chord_total_failure": ERRORS,
    "test_api.TestCustomErrorMetadata.test_custom_error": OPTION,
    "test_api.TestDecorators.test_task_id": LATER,
    "test_api.TestDisableResultStore.test_disable_result_store": OPTION,
    "test_api.TestQueue.test_cancel_execution": ERRORS,
    "test_api.TestQueue.test_cancel_execution_task_retries": ERRORS,
    "test_api.TestQueue.test_expires": LOCAL,
    "test_api.TestQueue.test_pending_scheduled_unregistered": LATER,
    "test_api.TestQueue.test_read_schedule": LATER,
    "test_api.TestQueue.test_reschedule": LATER,
    "test_api.TestQueue.test_reschedule_expires": LOCAL,
    "test_api.TestQueue.test_result_readiness_reads_result": NONE,
    "test_api.TestQueue.test_result_store": COUNT,
    "test_api.TestQueue.test_result_timeout": COUNT,
    "test_api.TestQueue.test_retries_with_override": ERRORS,
    "test_api.TestQueue.test_retry": ERRORS,
    "test_api.TestQueue.test_retry_backoff": ERRORS,
    "test_api.TestQueue.test_retry_delay": ERRORS,
    "test_api.TestQueue.test_retrying_exceptions_not_surfaced": CLASS,
    "test_api.TestQueue.test_retrytask_eta_delay": LOCAL,
    "test_api.TestQueue.test_schedule_s": LATER,
    "test_api.TestQueue.test_scheduling": LATER,
    "test_api.TestQueue.test_scheduling_expires": LATER,
    "test_api.TestQueue.test_task_error": COUNT,
    "test_api.TestQueue.test_timeout_cooperative_full": COUNT,
    "test_api.TestQueue.test_workflow": COUNT,
    "test_api.TestHueyAPIs.test_serialize_deserialize_signed": SERIALIZER,
    "test_api.TestStorageWrappers.test_storage_wrappers": LATER,
    "test_api.TestStoreIntermediateErrors.test_intermediate_error_withheld": OPTION,
    "test_api.TestTaskChaining.test_error_callback_retries": ERRORS,
    "test_api.TestTaskChaining.test_pipeline_error_retries_then_downstream": ERRORS,
    "test_priority.TestPriority.test_priority_retry": ERRORS,
    "test_priority.TestPriority.test_schedule_priority": LATER,
    "test_signals.TestSignals.test_signals_simple": LATER,
}
"""Tests of Huey's that cannot apply, with the reason."""


@pytest.fixture(autouse=True)
def delays_of_huey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Huey knows no jitter and no least delay: its tests reckon with what they ask for."""
    monkeypatch.setattr(retries, "JITTER", 0)
    monkeypatch.setattr(retries, "LEAST_DELAY", 0)


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Huey's rate limits count by the clock's minute, which its tests expect to stay the same."""
    monkeypatch.setattr(RateLimit, "_current_window", lambda limit, now: 0)
    monkeypatch.setattr(RateLimit, "_time_until_reset", lambda limit, now: 30.0)


class OnTheTaskQueue:
    """What replaces the memory storage of Huey's tests."""

    def get_huey(self) -> Huey:
        return TaskQueue("huey_tests")

    def tearDown(self) -> None:
        super().tearDown()  # type: ignore[misc]
        gc.collect()  # connections of the threads of Huey's consumer


def _adopt(module_name: str) -> dict[str, type]:
    """Return the test cases of one of Huey's test modules, to be run on the task queue."""
    module = huey_tests.load(module_name)
    base = huey_tests.load("base").BaseTestCase
    adopted = {}
    for name, case in vars(module).items():
        if not (isinstance(case, type) and issubclass(case, base) and case is not base):
            continue
        if case.__module__ != module.__name__:
            continue
        tests: dict[str, Any] = {"__module__": __name__}
        for key in NOT_APPLICABLE:
            if key.startswith(f"{module_name}.{name}."):
                method = key.rpartition(".")[2]
                tests[method] = unittest.expectedFailure(_copy(getattr(case, method)))
        adopted_name = f"{name}Of{module_name.title().replace('_', '')}"
        adopted[adopted_name] = _marked(type(adopted_name, (OnTheTaskQueue, case), tests))
    return adopted


def _copy(method: Any) -> Any:
    """Return a function that does the same, so that Huey's own is not marked."""

    def test(self: Any) -> Any:
        return method(self)

    return test


def _marked(case: Any) -> type:
    # Huey's consumer leaves its threads' connections to the garbage collector.
    case = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")(case)
    case = pytest.mark.usefixtures("committed_db")(case)
    marked: type = pytest.mark.slow(case)
    return marked


for _module_name in ("test_api", "test_priority", "test_signals"):
    globals().update(_adopt(_module_name))


def test_not_applicable__names_tests_that_exist() -> None:
    for key in NOT_APPLICABLE:
        module_name, case, method = key.split(".")
        assert hasattr(getattr(huey_tests.load(module_name), case), method), key
