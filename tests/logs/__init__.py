"""A site whose log is JSON, with the fields of background tasks."""
