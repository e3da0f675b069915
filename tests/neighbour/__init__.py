"""A package of somebody else's, which knows nothing of background tasks."""
