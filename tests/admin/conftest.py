"""The fixtures of bulk actions, for the pages that show them."""

from tests.integrations.bulk_actions.conftest import act, admin, chief, home, opted_in, work

__all__ = ["act", "admin", "chief", "home", "opted_in", "work"]
