"""Clients of derivative exchanges, one file each; ``venue.py`` is what they share."""
