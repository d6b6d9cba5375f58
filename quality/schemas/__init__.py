"""The tables: raw (what is landed), sim (what Python computes), marts (what dbt means). One file per domain."""
