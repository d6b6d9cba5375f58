"""A market on loopback that speaks a venue's wire format: simulated, seeded, and never mistaken for a real one."""
