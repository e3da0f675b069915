"""Tests of what is read of a stored traceback, however it was written and cut."""

from __future__ import annotations

import json
import os
import sysconfig
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wagtail_async_hooks.monitoring.tracebacks import HEADER, frames, is_application
from wagtail_async_hooks.utils.errors import traceback_of
from wagtail_async_hooks.utils.text import shortened, visible

BECAUSE = "The above exception was the direct cause of the following exception:"
DURING = "During handling of the above exception, another exception occurred:"


def parse() -> None:
    """Fail in the standard library."""
    json.loads("{")


def convert() -> None:
    """Make another error of that."""
    try:
        parse()
    except ValueError as error:
        raise LookupError("no such\nshop") from error


def stored(function: Any) -> str:
    """Return the traceback of what a function raises, as a row keeps it."""
    try:
        function()
    except BaseException as error:
        return visible(traceback_of(error), lines=True)
    raise AssertionError("It has raised nothing.")


def test_frames__of_one_error() -> None:
    [part] = frames(stored(parse)).parts
    first, second, *others = part.frames
    assert part.error.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert (first.function, second.function) == ("stored", "parse")
    assert "decode" in others[-1].function
    assert second.file == __file__
    assert second.code.splitlines()[0] == 'json.loads("{")'
    assert second.line > 0
    assert [run.is_application for run in part.runs] == [True, False]
    assert sum(len(run.frames) for run in part.runs) == len(part.frames)


def test_frames__of_a_chain() -> None:
    found = frames(stored(convert))
    cause, raised = found.parts
    assert (cause.link, raised.link) == ("", BECAUSE)
    assert cause.error.startswith("json.decoder.JSONDecodeError")
    assert raised.error == "LookupError: no such\nshop"
    assert raised.frames[-1].function == "convert"
    assert not found.is_cut


def test_frames__of_an_error_while_another_was_handled() -> None:
    def clumsy() -> None:
        try:
            parse()
        except ValueError:
            raise KeyError("again")  # noqa: B904  # that is the point

    assert [part.link for part in frames(stored(clumsy)).parts] == ["", DURING]


def test_frames__of_recursion() -> None:
    def overflow() -> None:
        overflow()

    [part] = frames(stored(overflow)).parts
    assert part.error.startswith("RecursionError")
    assert "repeated" in part.frames[-1].code + part.frames[-2].code


def test_frames__of_code_that_does_not_compile() -> None:
    [part] = frames(stored(lambda: compile("a b", "shop.py", "exec"))).parts
    assert part.frames[-1][:3] == ("shop.py", 1, "")
    assert part.error.startswith("SyntaxError")


def test_frames__of_a_group() -> None:
    def fail_all() -> None:
        found = []
        for function in (parse, convert):
            try:
                function()
            except Exception as error:
                found.append(error)
        raise ExceptionGroup("all went wrong", [*found, KeyError("never raised")])

    parts = frames(stored(fail_all)).parts
    assert [part.error.partition(":")[0] for part in parts] == [
        "ExceptionGroup",
        "json.decoder.JSONDecodeError",
        "json.decoder.JSONDecodeError",
        "LookupError",
        "KeyError",
    ]
    assert parts[3].frames[-1].function == "convert"
    assert not parts[4].frames


def test_frames__notes_belong_to_the_error() -> None:
    def fail() -> None:
        error = ValueError("no luck")
        error.add_note('  File "shop.py", line 1, in a note')
        raise error

    [part] = frames(stored(fail)).parts
    assert part.error == 'ValueError: no luck\n  File "shop.py", line 1, in a note'


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", []),
        (" \n\n", []),
        (f"{HEADER}\n", []),
        ("ValueError: no luck", ["ValueError: no luck"]),
        ("its worker died 3 times\n", ["its worker died 3 times"]),
    ],
)
def test_frames__of_other_texts(text: str, errors: list[str]) -> None:
    assert [(part.error, part.frames) for part in frames(text).parts] == [
        (error, ()) for error in errors
    ]


@pytest.mark.parametrize("length", range(60, 2000, 37))
def test_frames__of_a_text_that_was_cut(length: int) -> None:
    whole = frames(stored(convert))
    found = frames(shortened(stored(convert), length))
    assert found.is_cut == (length < len(stored(convert)))
    said = {frame[:3] for part in whole.parts for frame in part.frames}
    # A line that was cut is none of a call; those that are whole are found.
    assert {frame[:3] for part in found.parts for frame in part.frames} <= said
    assert found.parts[-1].error.endswith("shop")


@given(st.text())
def test_frames__of_anything(text: str) -> None:
    frames(text)


LINES = st.sampled_from(
    [
        *(HEADER, f"  + Exception Group {HEADER}", BECAUSE, DURING),
        *('  File "a.py", line 3, in f', '  |   File "a.py", line 3, in f', "    code", "    ^^^^"),
        *("", "ValueError: no", " … (7 characters) … ", "a … (7 characters) … b"),
        *("  +-+---------------- 1 ----------------", "  [Previous line repeated 3 more times]"),
    ]
)


@given(st.lists(LINES).map("\n".join))
def test_frames__of_lines_in_any_order(text: str) -> None:
    found = frames(text)
    assert all(part.error or part.frames for part in found.parts)
    told = sum(len(part.frames) for part in found.parts)
    assert told <= text.count(", line 3, in f")


def test_frames__of_a_long_text_takes_no_longer_than_its_length() -> None:
    for line in (" " * 1000, " | " * 300, "+-" * 500, '  File "' * 100, " … (" * 200):
        frames(f"{HEADER}\n{line}\n" * 100)


@pytest.mark.parametrize(
    ("file", "is_own"),
    [
        ("/srv/shop/catalogue/hooks.py", True),
        ("/srv/lib/hooks.py", True),
        ("<string>", True),
        ("<frozen importlib._bootstrap>", False),
        ("/srv/venv/lib/python3.12/site-packages/django/db/utils.py", False),
        ("/usr/lib/python3/dist-packages/redis/client.py", False),
        ("/opt/python/lib64/python3.13/json/decoder.py", False),
        (r"C:\shop\hooks.py", True),
        (r"C:\Python313\Lib\json\decoder.py", False),
        (r"C:\shop\.venv\Lib\site-packages\django\db\utils.py", False),
        (os.path.join(sysconfig.get_path("stdlib"), "json", "decoder.py"), False),
    ],
)
def test_application__by_the_path_on_any_host(file: str, is_own: bool) -> None:
    assert is_application(file) is is_own


def test_application__this_package_is_none() -> None:
    import wagtail_async_hooks

    assert not is_application(wagtail_async_hooks.__file__)
