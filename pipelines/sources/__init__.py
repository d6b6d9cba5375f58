"""Where records come from: one module per venue or API, and the entrance for files that people already own."""
