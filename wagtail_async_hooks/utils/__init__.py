"""Helpers that know nothing of tasks: texts, time, functions, and what databases have in common."""
