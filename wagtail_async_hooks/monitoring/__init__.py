"""Monitoring: what people and tools read of tasks, workers and registered functions."""
