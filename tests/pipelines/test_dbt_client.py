"""A pass of dbt inside our process: it fails with dbt's own words and leaves the file to others."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
from dagster import AssetKey, materialize

from assets.warehouse.definitions import build_dbt_assets
from pipelines.clock import SystemClock
from pipelines.dbt_manifest import ensure_manifest
from pipelines.home import open_home
from pipelines.resources import dbt_of, lake_of, warehouse_of
from pipelines.settings import Settings

DAY = date(2026, 3, 10)
MODEL = AssetKey(["staging", "stg_lake__candles"])


def test_a_failed_model_fails_the_pass_with_dbts_words_and_frees_the_file(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home", "real", create=True)
    lake = lake_of(home, SystemClock())
    warehouse = warehouse_of(home, Settings(home=tmp_path / "home", duckdb_threads=1), lake)
    resources = {"warehouse": warehouse, "dbt": dbt_of(warehouse)}
    first_pass, second_pass = build_dbt_assets(ensure_manifest())
    # The raw schema is not there yet, so the model finds no table to read.
    failed = materialize(
        [first_pass, second_pass],
        selection=[MODEL],
        partition_key=DAY.isoformat(),
        resources=resources,
        raise_on_error=False,
    )
    assert not failed.success
    assert failed.asset_materializations_for_node("dbt_first_pass") == []
    words = failed.failure_data_for_node("dbt_first_pass").error.to_string()
    assert "DbtFailureError" in words
    assert "raw" in words
    assert "stg_lake__candles" in words
    # Another configuration than dbt's is refused for as long as any handle on the file is open in this process.
    with duckdb.connect(str(home.warehouse), config={"threads": 3, "memory_limit": "1GB"}) as con:
        con.execute("create table free as select 1")
    assert (home.dbt_target / "dbt.log").is_file()
    # And the next pass succeeds once the cause is gone.
    warehouse.refresh_raw()
    healed = materialize(
        [first_pass, second_pass], selection=[MODEL], partition_key=DAY.isoformat(), resources=resources
    )
    assert [e.asset_key for e in healed.asset_materializations_for_node("dbt_first_pass")] == [MODEL]
