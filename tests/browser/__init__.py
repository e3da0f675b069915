"""The admin as people see it: Chromium, a real site and a real worker."""
