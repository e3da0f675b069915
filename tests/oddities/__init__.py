"""An app with models that the demo site lacks: odd keys, odd fields, odd families, odd places."""
