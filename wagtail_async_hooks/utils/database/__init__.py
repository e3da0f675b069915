"""Databases as such: their errors, transactions, clocks and limits; nothing here has a table."""
