"""Flows per fund and holders' figures from files: long and wide, in dollars and in millions, every line accounted for."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sources.files.imports import ImportRefused, ImportSummary, import_files, load_mapping

CLOCK = FixedClock(datetime(2026, 9, 1, 12))

WIDE = """Date,IBIT,FBTC,Total
Fee,0.25%,0.25%,
02 Jan 2025,"1,013.2",(5.0),"1,008.2"
03 Jan 2025,-,-,0.0
2025-01-06,0.0,-,0.0
07 Jan 2025,3.0,1.0,9.0
08 Jan 2025,abc,1.0,1.0
09 Jan 2025,2.0,1.0,3.0
31 Jun 2025,2.0,1.0,3.0
Total,1015.2,(3.0),1012.2
"""


def _imported(folder: Path, name: str, text: str) -> tuple[pl.DataFrame, ImportSummary]:
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / name).write_text(text, encoding="utf-8")
    lake = Lake(folder / "lake", clock=CLOCK, code_version="1.0")
    summary = import_files(load_mapping("etf_flows_by_fund"), folder / "files", lake, CLOCK)
    paths = [g.path for g in lake.current() if g.path is not None]
    return pl.concat([pl.read_parquet(p) for p in paths]) if paths else pl.DataFrame(), summary


def test_a_table_with_a_column_per_fund(tmp_path: Path) -> None:
    rows, summary = _imported(tmp_path, "BTC_etf_table.csv", WIDE)
    assert set(rows["asset"]) == {"BTC"} and set(rows["venue"]) == {"user_file"}
    assert rows.sort("flow_date_utc", "fund").select("flow_date_utc", "fund", "net_flow_usd").rows() == [
        (date(2025, 1, 2), "FBTC", -5_000_000.0),
        (date(2025, 1, 2), "IBIT", 1_013_200_000.0),
        (date(2025, 1, 2), "TOTAL", 1_008_200_000.0),
        # A zero is told, a dash is not.
        (date(2025, 1, 6), "IBIT", 0.0),
        (date(2025, 1, 6), "TOTAL", 0.0),
        # Its first fund cannot be read; what is left adds up.
        (date(2025, 1, 8), "FBTC", 1_000_000.0),
        (date(2025, 1, 8), "TOTAL", 1_000_000.0),
        (date(2025, 1, 9), "FBTC", 1_000_000.0),
        (date(2025, 1, 9), "IBIT", 2_000_000.0),
        (date(2025, 1, 9), "TOTAL", 3_000_000.0),
    ]
    (count,) = summary.files
    assert count.quarantined == {"funds_miss_the_total": 3, "not_a_date": 3, "not_a_number": 1}
    assert count.rows_read == count.landed + count.quarantined_rows
    assert count.note == "7 days, 1 of them without a fund's figure, 2 rows of fees or sums"


@pytest.mark.parametrize(
    ("name", "figure", "unit"),
    [("etf_flows_by_fund.csv", "net_flow_usd", 1.0), ("etf_flows_by_fund_usd_mn.csv", "net_flow_usd_mn", 1e6)],
)
def test_long_files_in_dollars_and_in_millions(tmp_path: Path, name: str, figure: str, unit: float) -> None:
    lines = ["ETH,ETHA,2025-01-02,12.5", "ETH,FETH,2025-01-02,-2", "ETH,ETHE,2025-01-02,", "eth,ETHA,2025-01-03,1", "ETH,Total,2025-01-03,1"]  # fmt: skip
    rows, summary = _imported(tmp_path, name, "\n".join([f"asset,fund,date,{figure}", *lines]) + "\n")
    assert rows.sort("fund").select("asset", "fund", "net_flow_usd").rows() == [
        ("ETH", "ETHA", 12.5 * unit),
        ("ETH", "FETH", -2 * unit),
    ]
    (count,) = summary.files
    assert (count.skipped, count.quarantined) == (1, {"bad_asset": 1, "bad_fund": 1})


def test_a_folder_without_such_files_is_told_the_names(tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_text("a,b\n1,2\n")
    lake = Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")
    with pytest.raises(
        ImportRefused, match=r"etf_flows_by_fund\.csv, etf_flows_by_fund_usd_mn\.csv, \*_etf_table\.csv"
    ):
        import_files(load_mapping("etf_flows_by_fund"), tmp_path, lake, CLOCK)


def test_a_table_without_its_total_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="Total"):
        _imported(tmp_path, "BTC_etf_table.csv", "Date,IBIT\n02 Jan 2025,1.0\n")


@pytest.mark.shared_data
def test_every_day_of_coin_metrics_lands(shared_data: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")
    summary = import_files(load_mapping("coin_metrics_csv"), shared_data / "onchain_btc", lake, CLOCK)
    (count,) = summary.files
    assert (count.rows_read, count.landed, count.quarantined_rows, count.skipped) == (2_344, 2_344, 0, 0)
    assert summary.ignored_files == ("btc_daily_ohlcv.csv.gz",)
    (generation,) = lake.current()
    assert generation.path is not None
    rows = pl.read_parquet(generation.path)
    assert (rows["holder_date_utc"].min(), rows["holder_date_utc"].max()) == (date(2020, 1, 1), date(2026, 6, 1))
    assert rows["supply_base"].null_count() == rows["supply_active_1y_base"].null_count() == 2_344
    last = rows.sort("holder_date_utc").row(-1, named=True)
    assert (last["asset"], last["exchange_inflow_usd"]) == ("BTC", 2586185884.4182158)
