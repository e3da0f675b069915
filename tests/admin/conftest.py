"""Fixtures: those of bulk actions, a page that is edited, and somebody who may do everything."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from tests.admin.editing import section, spring, without_ours
from tests.admin.making import log_in
from tests.integrations.bulk_actions.conftest import act, admin, chief, home, opted_in, work

__all__ = ["act", "admin", "chief", "home", "opted_in", "section", "spring", "without_ours", "work"]


@pytest.fixture
def operator(db: None) -> Client:
    """The browser of somebody who may do everything."""
    users = get_user_model().objects
    user: Any = users.create(username="operator", is_superuser=True)  # a password takes time
    return log_in(user)
