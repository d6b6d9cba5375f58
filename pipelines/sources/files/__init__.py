"""Imports of files that users own, by declared mappings."""
