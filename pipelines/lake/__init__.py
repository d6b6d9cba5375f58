"""The raw lake: content-addressed Parquet, its manifest, the views over it, and the published snapshot."""
