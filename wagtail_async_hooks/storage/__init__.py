"""The storages: the database, and any of Huey's as a notifier beside it."""
