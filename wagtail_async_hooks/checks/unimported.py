"""Python files of a site that use the package, and that nothing imports.

Wagtail and workers import ``wagtail_hooks.py`` and ``tasks.py`` of installed apps. In any other
package such a file is never run, and nothing says so.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from django.apps import apps
from django.conf import settings

FOUND_BY_NAME: Final = ("wagtail_hooks", "tasks")
"""Modules that are imported in each installed app."""

BY_HAND: Final = ("handlers", "hooks", "receivers", "signal_handlers", "signals")
"""Modules that an app imports itself, in ``ready()`` as a rule."""

_DEPTH: Final = 4
_FOLDERS: Final = 500
"""Maximum depth, and number of folders, of the search in a project."""

_SKIPPED: Final = frozenset(
    ("build", "dist", "migrations", "node_modules", "site-packages", "static", "test", "tests")
)

_REGISTERS: Final = b"background=True"
_USES: Final = re.compile(rb"^\s*(?:from|import)\s+wagtail_async_hooks\b", re.MULTILINE)


class Unimported(NamedTuple):
    """A file that is never run.

    :param package: dotted path of the package that it is in; blank if it is in none.
    :param is_installed: whether that belongs to an installed app.
    """

    file: Path
    package: str
    is_installed: bool


def files() -> list[Unimported]:
    """Return the files of the site that use the package and were not imported.

    To be called after hooks and tasks were imported.
    """
    names = (*FOUND_BY_NAME, *BY_HAND)
    endings = tuple(f"{name}.py" for name in names)
    loaded = {
        os.path.realpath(file)
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str) and file.endswith(endings)
    }
    found = {}
    for folder in _folders():
        for name in names:
            file = folder / f"{name}.py"
            if os.path.realpath(file) in loaded or not _uses(file, name):
                continue
            described = _described(file)
            if not described.is_installed or name in BY_HAND:  # or a worker imports it
                found[file.resolve()] = described
    return [found[file] for file in sorted(found)]


def _uses(file: Path, name: str) -> bool:
    """Return whether a file uses the package; one of ``BY_HAND`` has to register something."""
    try:
        text = file.read_bytes()
    except OSError:
        return False
    return bool(_USES.search(text)) and (name in FOUND_BY_NAME or _REGISTERS in text)


def _described(file: Path) -> Unimported:
    parts: list[str] = []
    folder = file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    package = ".".join(parts)
    installed = {os.path.realpath(app.path) for app in apps.get_app_configs()}
    return Unimported(file, package, os.path.realpath(file.parent) in installed)


def _folders() -> Iterator[Path]:
    """Yield the folders to search: packages of the settings, and those below ``manage.py``."""
    seen: set[Path] = set()
    project = list(_project())
    for folder in (*project, *_below(_root(project))):
        if folder not in seen:
            seen.add(folder)
            yield folder


def _project() -> Iterator[Path]:
    """Yield the folders of the packages of the settings, the URLconf and the WSGI application."""
    names = [getattr(settings, "SETTINGS_MODULE", None)]
    names += [getattr(settings, name, None) for name in ("ROOT_URLCONF", "WSGI_APPLICATION")]
    for name in names:
        package = name.rpartition(".")[0] if isinstance(name, str) else ""
        while package:
            if (folder := _folder_of(package)) is not None:
                yield folder
            package = package.rpartition(".")[0]


def _folder_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def _root(project: list[Path]) -> Path | None:
    """Return the folder of ``manage.py``, if it is that of a package of the site or above it."""
    for folder in project:
        for each in (folder, folder.parent):
            if (each / "manage.py").is_file():
                return each
    return None


def _below(root: Path | None) -> Iterator[Path]:
    folders = [(root, 0)] if root else []
    for number, (folder, depth) in enumerate(folders):
        if number >= _FOLDERS:
            return
        yield folder
        if depth < _DEPTH:
            folders += [(each, depth + 1) for each in _children(folder)]


def _children(folder: Path) -> list[Path]:
    try:
        found = sorted(Path(each) for each in os.scandir(folder) if each.is_dir())
    except OSError:
        return []
    return [
        each
        for each in found
        if not each.name.startswith((".", "__"))
        and each.name not in _SKIPPED
        and not (each / "pyvenv.cfg").exists()
    ]
