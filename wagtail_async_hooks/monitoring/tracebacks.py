"""Reads stored tracebacks: their frames, and which of them are the site's own code.

What is read was written by :mod:`traceback`, on whatever host the worker ran, and may have been cut
in the middle. Lines that fit nowhere are kept where they stand; nothing is ever refused.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

from wagtail_async_hooks.utils.errors import is_installed

HEADER: Final = "Traceback (most recent call last):"

_LINKS: Final = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
"""What stands between an error and the one that it led to."""

_FRAME: Final = re.compile(r'  File "(.*)", line (\d{1,9})(?:, in (.*))?\Z')
_CUT: Final = re.compile(r"^(.*?) … \(\d+ characters\) … (.*)$", re.MULTILINE)
_MARGIN: Final = re.compile(r" *\| ?")
_BORDER: Final = re.compile(r" *(?:\+-)?\+-{10,}(?: (?:\d+|\.\.\.) -+)?\Z")
"""A line between the errors of an ``ExceptionGroup``, whose lines have a margin."""

_INSTALLED: Final = re.compile(
    r"<frozen |[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/]python\d"
    r"|[\\/]python[\d.]*[\\/]lib[\\/]",
    re.IGNORECASE,
)
"""In paths of Python's own modules, and of installed packages, on any system."""


class Frame(NamedTuple):
    """One call.

    :param line: number of the line in the file.
    :param function: blank if the line could not be compiled.
    :param code: the line itself, with marks below it; blank if the file could not be read.
    :param is_application: whether it is the site's own code.
    """

    file: str
    line: int
    function: str
    code: str
    is_application: bool


class Run(NamedTuple):
    """Frames that follow one another, which are all the site's own code, or all are not."""

    is_application: bool
    frames: tuple[Frame, ...]


class Part(NamedTuple):
    """One error, and the calls that led to it, the outermost first.

    :param error: what it says, mostly in one line; blank if it was cut away.
    :param link: how it is related to the part before it, in Python's words; blank for the first.
    """

    frames: tuple[Frame, ...]
    error: str
    link: str = ""

    @property
    def runs(self) -> list[Run]:
        """The frames, to fold what is not the site's own code."""
        found = groupby(self.frames, lambda frame: frame.is_application)
        return [Run(is_application, tuple(run)) for is_application, run in found]


class Traceback(NamedTuple):
    """A traceback: the errors of a chain, in Python's order. The last one is what was raised.

    :param is_cut: whether a part in the middle is missing, as it was too long.
    """

    parts: tuple[Part, ...]
    is_cut: bool = False


def frames(text: str) -> Traceback:
    """Return what a stored traceback says.

    :param text: of any length and content; blank makes no parts.
    """
    reader = _Reader()
    for line in _without_margins(text.splitlines()):
        reader.read(line)
    return Traceback(tuple(reader.parts()), reader.is_cut)


def is_application(file: str) -> bool:
    """Return whether a file seems to be the site's own code, wherever a worker has run it."""
    return not (_INSTALLED.search(file) or is_installed(file))


def _without_margins(lines: list[str]) -> Iterator[str]:
    """Yield lines without what draws the tree of a group of errors beside them."""
    is_group = False
    for line in lines:
        if line.lstrip(" ") == f"+ Exception Group {HEADER}":
            is_group = True
            yield HEADER
        elif is_group and _BORDER.match(line):
            yield _BETWEEN
        elif is_group and (margin := _MARGIN.match(line)):
            yield line[margin.end() :]
        else:
            yield line


_BETWEEN: Final = "\0"
"""Stands for a border: tracebacks are stored without NUL."""


class _Lines:
    """The lines of one part, while they are read."""

    def __init__(self, link: str = "", *, has_header: bool = False) -> None:
        self.link = link
        self.calls: list[tuple[re.Match[str], list[str]]] = []
        self.error: list[str] = []
        self.in_frames = has_header

    def part(self) -> Part:
        found = tuple(_frame(match, code) for match, code in self.calls)
        return Part(found, "\n".join(self.error).strip(), self.link)

    def __bool__(self) -> bool:
        return bool(self.calls) or any(map(str.strip, self.error))


class _Reader:
    """Divides the lines of a traceback into parts."""

    def __init__(self) -> None:
        self.is_cut = False
        self._done: list[_Lines] = []
        self._now = _Lines()
        self._fragment = ""

    def parts(self) -> list[Part]:
        """Return what was read."""
        self._keep_fragment()
        return [lines.part() for lines in (*self._done, self._now) if lines]

    def read(self, line: str) -> None:
        """Read one more line."""
        if line == HEADER:
            self._begin(has_header=True)
        elif line in _LINKS:
            self._begin(line)
        elif line == _BETWEEN:
            self._begin()
        elif (cut := _CUT.match(line)) is not None:
            self._read_cut(*cut.groups())
        elif self._now.in_frames or self.is_cut:
            self._read_call(line)
        else:
            self._now.error.append(line)

    def _begin(self, link: str = "", *, has_header: bool = False) -> None:
        self._keep_fragment()
        if not self._now and not link:  # the header after a link
            link = self._now.link
        self._done.append(self._now)
        self._now = _Lines(link, has_header=has_header)

    def _read_call(self, line: str) -> None:
        match = _FRAME.match(line)
        if match is not None:
            self._fragment = ""
            if not self._now.in_frames and self._now.error:  # the header has been cut away
                self._begin()
            self._now.in_frames = True
            self._now.calls.append((match, []))
        elif self._now.in_frames and (line.startswith(" ") or not line):
            self._fragment = ""
            if self._now.calls:
                self._now.calls[-1][1].append(line)
        else:
            self._keep_fragment()
            self._now.in_frames = False
            self._now.error.append(line)

    def _read_cut(self, before: str, after: str) -> None:
        """Read a line in which something is missing, perhaps many lines: it names no call.

        What is left of the last of these is kept if it turns out to belong to the error.
        """
        self.is_cut = True
        if self._now.in_frames and before.startswith(" "):
            self._fragment = after if after.strip() and not after.startswith(" ") else ""
        else:
            self._now.in_frames = False
            self._now.error.append(f"{before} … {after}")

    def _keep_fragment(self) -> None:
        if self._fragment:
            self._now.in_frames = False
            self._now.error.append(f"… {self._fragment}")
            self._fragment = ""


def _frame(match: re.Match[str], code: list[str]) -> Frame:
    file, line, function = match.groups(default="")
    told = textwrap.dedent("\n".join(code)).strip("\n")
    return Frame(file, int(line), function, told, is_application(file))
