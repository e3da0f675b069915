"""An app with a receiver for the processes of one test; others do not know it."""
