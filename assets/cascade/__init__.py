"""The cascade: what a shock does once forced sales feed on themselves. The model is written down in ``docs/cascade.md``."""
