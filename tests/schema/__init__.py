"""The package's tables as they have to be in each database, and what reads how they are."""
