"""The daily stress report: one page, one JSON file and one folder of Parquet per UTC day, written from the marts alone."""
