"""Fills the demo site with content."""
