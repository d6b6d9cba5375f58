"""The dbt project as Dagster assets, in two passes around the cascade."""
