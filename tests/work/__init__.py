"""An app with the tasks and hooks that the tests run in real worker processes."""
