"""What the migrations make is what is stored here, on each database."""

from __future__ import annotations

import json
import os

import pytest
from django.db import connection

from tests.schema import reading


@pytest.mark.django_db
def test_schema__is_as_it_is_stored() -> None:
    if os.environ.get("SCHEMA") == "write":
        reading.write(connection)
    if not reading.file_of(connection).exists():
        pytest.skip(f"no description of {reading.product_of(connection)} is stored")

    found = json.loads(json.dumps(reading.described(connection)))

    assert found == reading.stored(connection)
