"""What exists: every Dagster asset by domain, with the mathematics behind it. Imports `quality`, never `pipelines`."""
