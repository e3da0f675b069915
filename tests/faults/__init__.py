"""Real faults on real servers; `scripts/soak.py` runs them big, the tests run them small."""
