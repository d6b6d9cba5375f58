"""Readers of chains over JSON-RPC: lending markets, their accounts, and balances of labelled accounts."""
