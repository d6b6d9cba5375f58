"""Raw records: what exchanges answered and what files held, and the `raw` schema that the models read."""
