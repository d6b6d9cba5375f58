"""Checks made from schemas: one factory, one blocking check per table."""
