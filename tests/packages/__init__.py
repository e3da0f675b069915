"""A site with packages of others, whose functions the settings move to the background."""
