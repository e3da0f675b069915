"""Settings of processes whose connections to PostgreSQL come from a pool."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES["default"]["OPTIONS"] = {
    "pool": {"min_size": 1, "max_size": int(os.environ["TEST_POOL"]), "timeout": 5}
}
