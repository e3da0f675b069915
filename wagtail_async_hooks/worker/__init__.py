"""The worker: processes and threads that claim tasks and run them, and their maintenance.

This file stays empty: a web process that enqueues tasks loads none of it.
"""
