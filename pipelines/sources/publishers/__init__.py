"""Clients of public figures, one file each; ``published.py`` is what they share."""
