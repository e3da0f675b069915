"""What hooks see in the request and in a worker, observed through Wagtail's real views."""
