"""Run it headless, prove it."""
