"""Tests of the translations: complete, compiled, and with the placeholders of the source."""

from __future__ import annotations

import gettext
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest

from tests.processes import REPOSITORY
from wagtail_async_hooks.monitoring import description

PACKAGE = REPOSITORY / "wagtail_async_hooks"
LANGUAGES = ("ar", "de", "es", "fr", "pt_BR")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%")


def file_of(language: str, kind: str = "po") -> Path:
    """Return the file of a language."""
    return PACKAGE / "locale" / language / "LC_MESSAGES" / f"django.{kind}"


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_languages__are_those_that_are_promised() -> None:
    assert sorted(path.name for path in (PACKAGE / "locale").iterdir()) == sorted(LANGUAGES)


def test_language__is_complete(language: str) -> None:
    texts = polib.pofile(str(file_of(language)))

    assert len(texts) > 500
    assert [entry.msgid for entry in texts.untranslated_entries()] == []
    assert [entry.msgid for entry in texts.fuzzy_entries()] == []


def test_language__keeps_placeholders(language: str) -> None:
    wrong = []
    for entry in polib.pofile(str(file_of(language))):
        singular, plural = (set(PLACEHOLDER.findall(t)) for t in (entry.msgid, entry.msgid_plural))
        for text in (entry.msgstr, *entry.msgstr_plural.values()):
            found = set(PLACEHOLDER.findall(text))
            # Of a single one, or of two, a language may leave out the number.
            number = {"%(number)d", "%(number)s"}
            if text and not (singular | plural) - number <= found <= singular | plural:
                wrong.append((entry.msgid, text))
    assert wrong == []


def test_language__has_all_plural_forms(language: str) -> None:
    texts = polib.pofile(str(file_of(language)))
    number = int(re.search(r"nplurals=(\d)", texts.metadata["Plural-Forms"])[1])  # type: ignore[index]
    for entry in texts:
        if entry.msgid_plural:
            assert len(entry.msgstr_plural) == number, entry.msgid


def test_language__is_compiled(language: str) -> None:
    """The package is installed with the compiled files, which are made from the others."""
    with file_of(language, "mo").open("rb") as compiled:
        known = gettext.GNUTranslations(compiled)
    for entry in polib.pofile(str(file_of(language))):
        if not entry.msgid_plural and not entry.msgctxt:
            assert known.gettext(entry.msgid) == entry.msgstr


def test_language__is_used() -> None:
    from django.utils import translation

    with translation.override("de"):
        assert description.words_of("manage.py check") == "manage.py check"
        assert (
            str(description._OWN["wagtail.tasks.delete_file_from_storage_task"]) != "Delete a file"
        )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xgettext") is None, reason="GNU gettext is not installed")
def test_texts__are_all_in_the_files(tmp_path: Path) -> None:
    """A text that is added to the code is in each language, too: run `make messages`."""
    copy = tmp_path / "wagtail_async_hooks"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        *(sys.executable, "-P", "-m", "django"),  # else types.py here is taken for Python's
        *("makemessages", "--no-location", "--locale=de"),
    ]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)

    there = {(e.msgctxt, e.msgid) for e in polib.pofile(str(file_of("de"))) if not e.obsolete}
    now = polib.pofile(str(copy / "locale/de/LC_MESSAGES/django.po"))
    assert {(e.msgctxt, e.msgid) for e in now if not e.obsolete} == there
