"""An app whose functions tell all that they can get at, for the processes of one test."""
