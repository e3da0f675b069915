"""The storages: the database, and any of Huey's as a doorbell beside it."""
