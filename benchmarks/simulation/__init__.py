"""A site that is larger than any machine here, simulated event by event.

``python -m benchmarks.simulation`` lets thousands of editors work for a day, and tells how busy the
ledger is, how long tasks wait, and where it saturates. How long the database works for each
statement comes from what :mod:`benchmarks.measures.statements` has measured.
"""
