"""The literature review as data."""
