"""Mappings: the shipped ones load, a wrong one is refused with file, key and reason."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.sources.files.imports import Mapping, MappingError, load_mapping, shipped_mappings
from quality.schemas.raw import RAW_TABLES

pytestmark = pytest.mark.fast

GOOD = """
name: my_candles
files:
  - files: "*.csv"
    dataset: candles
    format: csv
    columns:
      venue: {value: binance}
      asset: {column: coin, map: {bitcoin: BTC}}
      venue_symbol: {by: [venue, asset], choose: {binance/BTC: XBTUSD, default: "{asset}USDT"}}
      price_kind: {value: trade}
      interval_start_utc: {column: time, clock: epoch_ms}
      interval_end_utc: {after: interval_start_utc, hours: 1}
      open_quote: o
      high_quote: h
      low_quote: l
      close_quote: c
      volume_base: {column: v, scale: 0.001}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "mine.yml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def test_shipped_mappings_load_under_their_file_names() -> None:
    mappings = shipped_mappings()
    assert [m.name for m in mappings] == [
        "aave",
        "binance_archive",
        "coin_metrics_csv",
        "etf_flows",
        "etf_flows_by_fund",
        "fear_greed",
        "leverage_tiers",
        "macro",
        "macro_consensus",
        "multivenue",
        "rate_expectations",
        "tardis",
    ]
    assert {m.name: m.datasets for m in mappings} == {
        "aave": ("lending_liquidations",),
        "binance_archive": ("candles", "funding_rates", "open_interest", "depth_bands", "liquidations"),
        "coin_metrics_csv": ("holder_metrics",),
        "etf_flows": ("etf_flows",),
        "etf_flows_by_fund": ("etf_flows",),
        "fear_greed": ("sentiment",),
        "leverage_tiers": ("leverage_tiers",),
        "macro": ("macro_observations",),
        "macro_consensus": ("macro_consensus",),
        "rate_expectations": ("rate_expectations",),
        "multivenue": ("candles", "funding_rates", "open_interest", "liquidations"),
        "tardis": ("liquidations", "open_interest", "depth_bands"),
    }
    for mapping in mappings:
        assert load_mapping(mapping.name) == mapping
        assert mapping.about


def test_own_mapping_loads_from_a_path(written: Callable[[str], Path]) -> None:
    mapping = load_mapping(written(GOOD))
    assert isinstance(mapping, Mapping)
    assert mapping.name == "my_candles"
    assert mapping.files[0].columns["open_quote"].column == "o"
    assert mapping.files[0].source_columns == ("coin", "time", "o", "h", "l", "c", "v")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: my_candles", "name: My Candles", "name"),
        ("name: my_candles", "name: ../../etc", "name"),
        ("name: my_candles", "name: ccxt", "taken"),
        ("name: my_candles", "title: x\nname: a", "title: is not a key"),
        ("dataset: candles", "dataset: trades", "dataset `trades` is not one of"),
        ("dataset: candles", "data: candles", "is not a key"),
        ("dataset: candles", "", "dataset: is missing"),
        ("format: csv", "format: xlsx", "format"),
        ("format: csv", "format: csv\n    delimiter: ';;'", "delimiter"),
        ('files: "*.csv"', "files: ../*.csv", "below the imported folder"),
        ('files: "*.csv"', "files: /etc/passwd", "below the imported folder"),
        ("open_quote: o", "", "candles needs `open_quote`"),
        ("open_quote: o", "open_quote: o\n      colour: x", "candles has no column `colour`"),
        ("open_quote: o", "open_quote: {}", "exactly one of"),
        ("open_quote: o", "open_quote: {column: o, value: 1}", "exactly one of"),
        ("open_quote: o", "open_quote: {colum: o}", "colum: is not a key"),
        ("open_quote: o", "open_quote: {column: o, clock: iso}", "`clock` belongs to"),
        ("open_quote: o", "open_quote: {column: o, map: {a: b}}", "`map` and `file_stem` belong to a text"),
        ("open_quote: o", "open_quote: {file_stem: true}", "belong to a text"),
        ("open_quote: o", "open_quote: {value: abc}", "a number for a number column"),
        ("open_quote: o", "open_quote: {column: o, scale: 0}", "above 0"),
        ("open_quote: o", "open_quote: {column: o, scale: -1}", "above 0"),
        ("open_quote: o", "open_quote: {column: o, scale: {by: [nope], choose: {a: 1}}}", "`by` names `nope`"),
        ("open_quote: o", "open_quote: {column: o, scale: {by: [venue], choose: {a: x}}}", "must be a number"),
        ("open_quote: o", "open_quote: {column: o, scale: {by: [venue], choose: {a: 0}}}", "above 0"),
        ("open_quote: o", "open_quote: {column: o, scale: {by: [venue_symbol], choose: {a: 1}}}", "`by` names"),
        ("price_kind: {value: trade}", "price_kind: {value: 1}", "a text for a text column"),
        ("price_kind: {value: trade}", "price_kind: {capture_day: true}", "belongs to a day"),
        ("price_kind: {value: trade}", "price_kind: {file_date: true}", "belongs to an instant or a day"),
        ("clock: epoch_ms", "clock: epoch_ns", "clock"),
        ("hours: 1", "days: 1", "days: is not a key"),
        ("{after: interval_start_utc, hours: 1}", "{after: interval_start_utc}", "belong together"),
        ("{after: interval_start_utc, hours: 1}", "{after: open_quote, hours: 1}", "another instant"),
        ("{after: interval_start_utc, hours: 1}", "{after: interval_end_utc, hours: 1}", "another instant"),
        ("{after: interval_start_utc, hours: 1}", "{value: now}", "`value` must be"),
        ("binance/BTC: XBTUSD", "binance/BTC/x: XBTUSD", "more parts than"),
        ('"{asset}USDT"', '"{asset"', "cannot be read"),
        ('"{asset}USDT"', '"{asset!r}"', "cannot be read"),
        ('"{asset}USDT"', '"{asset.__class__}"', "which is not such a column"),
        ('"{asset}USDT"', '"{}USDT"', "which is not such a column"),
        ('"{asset}USDT"', "7", "must be a text"),
        ("by: [venue, asset], ", "", "belong together"),
        ("by: [venue, asset]", "by: [venue, asset, price_kind]", "by"),
        ("format: csv", "format: csv\n    path: '(['", "`path` is no regular expression"),
        ("format: csv", "format: csv\n    keep: last_of_hour", "keep"),
        ("price_kind: {value: trade}", "price_kind: {path_part: kind}", "no named group of `path`"),
        ("open_quote: o", "open_quote: {path_part: o}", "belong to a text"),
        ("open_quote: o", "open_quote: {value: 1, times: v}", "belong to a `column`"),
        ("{column: coin, map: {bitcoin: BTC}}", "{column: coin, times: v}", "`times` and `per` belong to a number"),
        ("{column: coin, map: {bitcoin: BTC}}", "{column: coin, extract: '[A-Z]+'}", "exactly one group"),
        ("{column: coin, map: {bitcoin: BTC}}", "{column: coin, extract: '('}", "no regular expression"),
        ("{column: coin, map: {bitcoin: BTC}}", "{column: coin, extract: '(x)(?=y)'}", "without look-around"),
        ("open_quote: o", "open_quote: {column: o, extract: '(x)'}", "belong to a text"),
        ("open_quote: o", "open_quote: {column: o, later: {seconds: 1}}", "`later` belongs to"),
        ("files:\n", "refuse: [{files: ../x, reason: a, what_to_do: b}]\nfiles:\n", "below the imported folder"),
        ("files:\n", "refuse: [{files: x, path: '(', reason: a, what_to_do: b}]\nfiles:\n", "no regular expression"),
        ("files:\n", "refuse: [{files: x, what_to_do: b}]\nfiles:\n", "reason: is missing"),
    ],
)
def test_wrong_mapping_is_refused_in_one_line(written: Callable[[str], Path], old: str, new: str, said: str) -> None:
    assert old in GOOD
    path = written(GOOD.replace(old, new, 1))
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    message = str(caught.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message
    assert "pydantic" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no mapping"),
        ("- a\n- b\n", "holds no mapping"),
        ("just text", "holds no mapping"),
        ("name: [unclosed", "is not YAML"),
        ("name: !!python/object/apply:os.system ['true']", "is not YAML"),
        ("name: x\nfiles: []\n", "files"),
        ("name: x\nfiles: 3\n", "files"),
        ("files:\n  - 3\n", "name: is missing"),
    ],
)
def test_file_that_is_no_mapping_is_refused(written: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(MappingError, match=r"mine\.yml") as caught:
        load_mapping(written(text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_name_tells_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        MappingError,
        match=r"etf_flows, etf_flows_by_fund, fear_greed, leverage_tiers, macro, macro_consensus, multivenue",
    ):
        load_mapping("multivenu")
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(MappingError, match="UTF-8"):
        load_mapping(tmp_path / "bad.yml")
    for name in ("../multivenue", "/etc/passwd", "", "mappings/macro"):
        with pytest.raises(MappingError):
            load_mapping(name)


def test_examples_of_the_manual_load(written: Callable[[str], Path], project_root: Path) -> None:
    manual = (project_root / "docs" / "importing.md").read_text(encoding="utf-8")
    examples = [block.split("```", 1)[0] for block in manual.split("```yaml\n")[1:]]
    assert [load_mapping(written(text)).name for text in examples] == ["my_candles", "my_funding"]


@pytest.mark.parametrize("rule", [{"value": 1}, {"by": ["venue"], "choose": {"binance": 1}}])
def test_whole_number_is_never_a_constant(rule: dict[str, object]) -> None:
    shipped = load_mapping("leverage_tiers").model_dump(exclude_none=True)
    shipped["files"][0]["columns"]["tier_rank"] = rule
    with pytest.raises(ValueError, match="column `tier_rank`: a whole number comes from a `column`"):
        Mapping.model_validate(shipped)


def test_every_dataset_can_be_mapped() -> None:
    """A column type that no rule can fill would make a dataset unreachable from files."""
    for name, table in RAW_TABLES.items():
        columns = {c: {"column": c} for c in table.columns if c != "payload_sha256"}
        Mapping.model_validate(
            {"name": "any", "files": [{"files": "x.csv", "dataset": name, "format": "csv", "columns": columns}]}
        )


def test_keys_of_rows_with_a_clock_are_refused_for_snapshots(written: Callable[[str], Path]) -> None:
    text = """
    name: mine
    files:
      - files: "*.csv"
        dataset: sentiment
        format: csv
        within_file_date: true
        columns: {venue: {value: me}, index_name: {value: x}, sentiment_date_utc: day, sentiment_index: v}
    """
    with pytest.raises(MappingError, match="need rows with a clock; sentiment is a snapshot"):
        load_mapping(written(text))
