"""Huey's own tests, which ship in its wheel.

Their package's ``__init__`` imports all of them, and one configures Django's settings for itself.
So their folder is given to Python as a package without it.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest import mock

import huey


def load(name: str) -> ModuleType:
    """Return one module of Huey's tests."""
    if "huey.tests" not in sys.modules:
        package = ModuleType("huey.tests")
        package.__path__ = [str(Path(huey.__file__).parent / "tests")]
        sys.modules["huey.tests"] = package
    with mock.patch.dict(os.environ, HUEY_SLOW_TESTS="1"):  # they read it when they are imported
        return import_module(f"huey.tests.{name}")
