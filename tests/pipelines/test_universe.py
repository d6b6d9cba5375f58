"""The universe: the file's words, the ranking by open interest as last landed, what `lowtide universe` shows."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from assets.ports import RawBatch, RawKey
from pipelines.cli import app
from pipelines.clock import FixedClock
from pipelines.home import open_home
from pipelines.lake.store import Lake
from pipelines.sources.exchanges.registry import EXCHANGES
from pipelines.universe import DEFAULT_FILE, Universe, UniverseError, followed, load_universe
from quality.schemas.raw import RAW_TABLES
from quality.tables import REJECTED_COLUMNS

pytestmark = pytest.mark.fast

NOW = datetime(2026, 3, 10, 12)


def _land(lake: Lake, venue: str, day: date, rows: list[dict[str, Any]]) -> None:
    table = RAW_TABLES["tickers"]
    full = [
        {
            "venue": venue,
            "venue_symbol": f"{row['asset']}-{i}",
            "occurred_at_utc": datetime.combine(day, NOW.time()),
            "last_quote": 1.0,
            "payload_sha256": "0" * 64,
            **row,
        }
        for i, row in enumerate(rows)
    ]
    batch = RawBatch(
        RawKey("tickers", venue, "ccxt", day),
        pl.DataFrame(full, schema=table.raw_schema),
        pl.DataFrame(schema=REJECTED_COLUMNS),
    )
    lake.commit([batch])


def _usd(asset: str, usd: float | None, basis: str = "one_sided") -> dict[str, Any]:
    return {"asset": asset, "open_interest_usd": usd, "open_interest_basis": basis}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", clock=FixedClock(NOW), code_version="1")


def _universe(count: int, *venues: str) -> Universe:
    return Universe(always=("btc", "ETH"), top_by_open_interest_count=count, venues=venues or ("binance", "bybit"))


def test_the_shipped_file_follows_the_three_always_and_names_known_exchanges(tmp_path: Path) -> None:
    universe = load_universe(tmp_path)
    assert universe.always == ("BTC", "ETH", "SOL")
    assert {"binance", "bybit", "okx", "hyperliquid"} <= set(universe.venues) <= set(EXCHANGES)
    assert [one.asset for one in followed(universe, ())] == ["BTC", "ETH", "SOL"], "nothing has landed yet"


def test_minutes_are_left_out_until_the_file_asks_for_them(tmp_path: Path) -> None:
    assert load_universe(tmp_path).left_out == {"minute_candles"}
    shipped = DEFAULT_FILE.read_text(encoding="utf-8")
    (tmp_path / "universe.yml").write_text(shipped.replace("minute_candles: false", "minute_candles: true"))
    assert load_universe(tmp_path).left_out == frozenset()


def test_the_largest_others_follow_by_one_sided_open_interest_over_the_exchanges(lake: Lake) -> None:
    day = NOW.date()
    _land(lake, "binance", day, [_usd("BTC", 9e9), _usd("XRP", 5e8), _usd("DOGE", 7e8), _usd("PEPE", None)])
    # Two-sided counts half; without a figure in dollars it is base units at the last price.
    base = {"asset": "ADA", "open_interest_base": 1e9, "open_interest_basis": "one_sided", "last_quote": 0.65}
    _land(lake, "bybit", day, [_usd("XRP", 6e8, "two_sided"), base])
    _land(lake, "okx", day, [_usd("DOGE", 1e12)])
    got = followed(_universe(2), lake.current())
    assert [(one.asset, one.is_always, one.open_interest_usd, one.venues) for one in got] == [
        ("BTC", True, 9e9, ("binance",)),
        ("ETH", True, None, ()),
        ("XRP", False, 8e8, ("binance", "bybit")),
        ("DOGE", False, 7e8, ("binance",)),
    ]
    assert [one.asset for one in followed(_universe(0), lake.current())] == ["BTC", "ETH"]
    assert [one.asset for one in followed(_universe(9), lake.current())][2:] == ["XRP", "DOGE", "ADA"]


def test_the_last_landed_tickers_count(lake: Lake) -> None:
    _land(lake, "binance", date(2026, 3, 9), [_usd("OLD", 1e9)])
    _land(lake, "binance", date(2026, 3, 10), [_usd("WRONG", 1e9)])
    _land(lake, "binance", date(2026, 3, 10), [_usd("NEW", 1e9)])
    assert [one.asset for one in followed(_universe(5), lake.current())] == ["BTC", "ETH", "NEW"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("always: [BTC", "not YAML"),
        ("", "the file"),
        ("always: []\ntop_by_open_interest_count: 1\nvenues: []", "always"),
        ("always: [BTC]\ntop_by_open_interest_count: -1\nvenues: []", "top_by_open_interest_count"),
        ("always: [BTC]\ntop_by_open_interest_count: 1\nvenues: [mtgox]", "no exchange mtgox: there are binance"),
        ("always: [BTC]\ntop_by_open_interest_count: 1\nvenues: []\nassets: [ETH]", "assets"),
        ("always: ['B T']\ntop_by_open_interest_count: 1\nvenues: []", "always.0"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "universe.yml"
    path.write_text(text)
    with pytest.raises(UniverseError) as caught:
        load_universe(tmp_path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "universe.yml").write_bytes(b"always: [\xff]")
    with pytest.raises(UniverseError, match="not UTF-8 at byte 9"):
        load_universe(tmp_path)


def test_the_command_shows_who_is_followed_and_why(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home", "demo", create=True)
    (home.root / "universe.yml").write_text("always: [btc]\ntop_by_open_interest_count: 1\nvenues: [binance]\n")
    _land(Lake(home.lake, clock=FixedClock(NOW), code_version="1"), "binance", NOW.date(), [_usd("币安人生", 12.4)])
    result = CliRunner().invoke(app, ["universe", "--home", str(home.root), "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == [
        {"asset": "BTC", "followed_by": "always", "open_interest_one_sided_usd": None, "venues": ""},
        {"asset": "币安人生", "followed_by": "open interest", "open_interest_one_sided_usd": 12, "venues": "binance"},
    ]
