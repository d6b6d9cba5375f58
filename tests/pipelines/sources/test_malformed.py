"""Malformed answers end as a coded outage or as refused rows beside good ones; never as another error, never as a wrong value.

The clients run whole, on the sandbox's own answers, below HTTP (``canned_market``); the oracle knows only the sound answer.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import duckdb
import pytest
from canned_market import BASE_URL, Canned, CannedMarket
from malformed import KINDS, Kind, malformed
from source_doubles import HandClock, PayloadLake

from assets.lake.transform import batches_of
from assets.ports import RawBatch, SourceOutage
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from pipelines.sandbox.world import World
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.hyperliquid import LIQUIDATOR_VAULT
from pipelines.sources.exchanges.registry import EXCHANGES, client_class
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.gate import Gate
from quality.schemas.raw import RAW_TABLES

pytestmark = pytest.mark.long

# The market crashes on the running day: every venue has something to tell of every dataset.
FIRST, DAY, NOW = date(2025, 9, 1), date(2025, 9, 3), datetime(2025, 9, 4, 23, 30)
OUTAGES = {"unreachable", "rate_limited", "banned", "geoblocked", "venue_error"}
PLACES = [(venue, dataset) for venue, datasets in EXCHANGES.items() for dataset in datasets]

# What a catalogue calls a contract and when it says that it was listed is its own word.
OWN_WORDS = {"venue_symbol", "listed_at_utc"}

# Rows as of now that a venue's own names and clock tell apart, and nothing else: another name is another row.
BY_NAME = ("tickers", "leverage_tiers", "insurance_funds", "adl_states")
# Figures that may lie below zero.
SIGNED = {
    "funding_rate_frac",
    "fund_balance_settle",
    "fund_least_settle",
    "pnl_ratio_frac",
    "adl_start_ratio_frac",
    "adl_stop_ratio_frac",
}
# Hyperliquid's coins and their figures are two lists that belong together by place: only their lengths can be compared.
BY_PLACE = {"hyperliquid": ("instruments", "open_interest", "tickers")}

# Hyperliquid tells liquidations and positions of accounts: some of the sandbox's own.
ACCOUNTS = (LIQUIDATOR_VAULT, *(f"0x{number:040x}" for number in range(1, 9)))

Row = dict[str, Any]


class Bench:
    """One venue's client over canned answers, and what it lands when they are sound."""

    def __init__(self, venue: str, world: World) -> None:
        self.clock, self.market = HandClock(NOW), CannedMarket(world, NOW)
        self.client: VenueClient = client_class(venue)(
            PayloadLake(),
            clock=self.clock,
            universe=world.assets,
            is_synthetic=True,
            base_url=BASE_URL,
            policy=RetryPolicy(attempts_count=2),
            sleep=self.clock.sleep,
            **({"addresses": ACCOUNTS} if venue == "hyperliquid" else {}),
        )
        self.client._connection()[0].session.mount("http://", self.market)
        self.days = {
            d: DAY if d not in ("depth_bands", "instruments", "liquidations") and self._offers(d, DAY) else NOW.date()
            for d in EXCHANGES[venue]
        }
        self.truth = {d: self._land(d)[0] for d in EXCHANGES[venue]}
        assert all(self.truth.values()), [d for d, rows in self.truth.items() if not rows]

    def _offers(self, dataset: str, day: date) -> bool:
        first = self.client.first_offered_day(dataset)
        return first is None or first <= day

    def _land(self, dataset: str) -> tuple[dict[tuple[Any, ...], Row], list[Row]]:
        """Return the good rows by key, and the refused ones."""
        table, batches = RAW_TABLES[dataset], self.batches(dataset)
        good = [row for b in batches for row in b.rows.drop("payload_sha256").iter_rows(named=True)]
        refused = [row for b in batches for row in b.rejected.iter_rows(named=True)]
        return {tuple(row[c] for c in table.grain): row for row in good}, refused

    def batches(self, dataset: str) -> list[RawBatch]:
        """Return what would be committed."""
        day = self.days[dataset]
        return batches_of(
            self.client.fetch(dataset, day),
            dataset=dataset,
            venue=self.client.venue,
            source="ccxt",
            days=[day],
            now=NOW,
            is_synthetic=True,
        )

    def outcome(self, dataset: str, kind: Kind, seed: str) -> str:
        """Answer every request of a dataset malformed; judge what lands and return how it ended."""
        self.clock.instant = NOW
        self.client._catalogue = None
        if dataset != "instruments":
            self.client._contracts()

        def spoil(label: str, answer: Canned) -> Canned:
            return malformed(kind, answer, random.Random(f"{seed}:{label}"), "SOL")

        self.market.spoil = spoil
        told: SourceOutage | None = None
        try:
            good, refused = self._land(dataset)
        except SourceOutage as outage:
            told = outage
        finally:
            self.market.spoil = lambda _, answer: answer
        if told is not None:
            assert told.code in OUTAGES
            assert len(str(told).splitlines()) == 1
            return told.code
        assert all(row["reason"] for row in refused)
        for key, row in good.items():
            self._judge(dataset, key, row, kind)
        if kind.level in ("record", "value") and dataset in ("candles", "open_interest"):
            series_count = len({(r["venue_symbol"], r.get("price_kind")) for r in self.truth[dataset].values()})
            lost_count = len(self.truth[dataset]) - len(good)
            assert lost_count <= 2 * series_count, "one bad record of a series costs itself and its neighbour at most"
        return "quarantined" if refused else "landed"

    def _judge(self, dataset: str, key: tuple[Any, ...], row: Row, kind: Kind) -> None:
        assert_lawful(dataset, row)
        if kind.is_plausible or (dataset in BY_PLACE.get(row["venue"], ()) and kind.level in ("answer", "rows")):
            return
        own_words = OWN_WORDS if dataset == "instruments" and kind.level in ("answer", "clock", "value") else set()
        if key not in self.truth[dataset] and "venue_symbol" in own_words:
            key = next(k for k, r in self.truth[dataset].items() if r["asset"] == row["asset"])
        if dataset in BY_NAME and (key not in self.truth[dataset] or kind.level in ("answer", "clock")):
            return
        assert key in self.truth[dataset], f"no such row in the sound answer: {key}"
        sound = self.truth[dataset][key]
        for name, value in row.items():
            if name in own_words:
                continue
            is_missing = value is None and name in RAW_TABLES[dataset].nullable
            # OKX's announced rate stands in where it tells no paid one (test_okx); the sandbox's has five decimals.
            is_announced = name == "funding_rate_frac" and row["venue"] == "okx" and value == round(sound[name], 5)
            assert is_missing or is_announced or value == sound[name], (
                f"{key} {name}: {value!r} and not {sound[name]!r}"
            )


def assert_lawful(dataset: str, row: Row) -> None:
    """Hold a landed row to the laws, in words of our own."""
    for name, value in row.items():
        if isinstance(value, float):
            assert math.isfinite(value), (name, value)
            if name not in SIGNED:
                assert value >= 0, (name, value)
        if isinstance(value, datetime):
            assert datetime(1980, 1, 1) <= value <= NOW + timedelta(days=1), (name, value)
    if dataset == "candles":
        assert 0 < row["low_quote"] <= min(row["open_quote"], row["close_quote"])
        assert row["high_quote"] >= max(row["open_quote"], row["close_quote"])
        assert row["interval_start_utc"].date() == DAY
        assert row["interval_start_utc"] == row["interval_start_utc"].replace(minute=0, second=0, microsecond=0)
    if dataset == "funding_rates":
        assert abs(row["funding_rate_frac"]) <= 0.1
        assert row["occurred_at_utc"].date() == DAY
    if dataset == "open_interest":
        assert row["open_interest_base"] is not None or row["open_interest_usd"] is not None
    if dataset == "depth_bands":
        assert row["mid_quote"] > 0


@pytest.fixture(scope="module")
def benches() -> dict[str, Bench]:
    world = World(3, FIRST, 4, assets=("BTC", "SOL"), crash_day=NOW.date())
    return {venue: Bench(venue, world) for venue in EXCHANGES}


def test_there_are_more_than_sixty_kinds() -> None:
    assert len(KINDS) >= 60


@pytest.mark.parametrize("venue", EXCHANGES)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "rate_limited"),
        (418, "banned"),
        (403, "banned"),
        (451, "geoblocked"),
        (503, "venue_error"),
        (400, "venue_error"),
    ],
)
def test_an_error_page_is_known_by_its_status_whatever_its_body(
    benches: dict[str, Bench], venue: str, status: int, code: str
) -> None:
    bench = benches[venue]
    bodies = (
        b"",
        b"null",
        b"[]",
        b"5",
        b'"no"',
        b"{",
        b"<html>",
        b'{"code": null, "msg": [1]}',
        b"[" * 100_000,
        b"\xff",
    )
    for body in bodies:
        canned = Canned(body, status)
        bench.market.spoil = lambda _, __, canned=canned: canned
        try:
            with pytest.raises(SourceOutage) as caught:
                bench.client.candles(DAY)
            assert caught.value.code == code, body[:40]
        finally:
            bench.market.spoil = lambda _, answer: answer
            # Each body is a ban of its own.
            transport = bench.client._connection()[1]
            transport._gate = transport._door._gate = Gate()


@pytest.mark.trial("malformed_kinds")
@pytest.mark.timeout(7200)
def test_every_kind_ends_as_a_code_at_every_venue_and_dataset(
    benches: dict[str, Bench], trial_count: Callable[..., int]
) -> None:
    # Every kind comes first once, at one place after the other; then again at the next place.
    pairs = [(k, PLACES[(i + n) % len(PLACES)]) for i in range(len(PLACES)) for n, k in enumerate(KINDS)]
    count = trial_count(3 * len(pairs), sample=2 * len(KINDS))
    trials = ((f"{name}:{seed}", KINDS[name], place) for seed in range(3) for name, place in pairs)
    _must_all_end_as_codes(benches, islice(trials, count))


@pytest.mark.trial("malformed_payloads")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("half", [0, 1])
def test_mutated_payloads_end_as_a_code(benches: dict[str, Bench], trial_count: Callable[..., int], half: int) -> None:
    chance = random.Random(20251010)
    names = [n for n, k in KINDS.items() if k.level != "answer"]

    def drawn() -> Iterator[tuple[str, Kind, tuple[str, str]]]:
        for trial in range(2 * trial_count(25_000, sample=100)):
            picked, place = chance.choices(names, k=chance.randint(1, 3)), chance.choice(PLACES)
            if trial % 2 == half:
                yield f"{trial}: {', '.join(picked)}", _all_of([KINDS[n] for n in picked]), place

    _must_all_end_as_codes(benches, drawn())


def _must_all_end_as_codes(benches: dict[str, Bench], trials: Iterator[tuple[str, Kind, tuple[str, str]]]) -> None:
    ended: Counter[str] = Counter()
    for name, kind, (venue, dataset) in trials:
        try:
            ended[benches[venue].outcome(dataset, kind, name)] += 1
        except Exception as error:
            raise AssertionError(f"{venue} {dataset}: {name}") from error
    print(dict(ended))
    assert ended["quarantined"] > 0 < ended["venue_error"]


def _all_of(kinds: list[Kind]) -> Kind:
    """Return several kinds, one after the other, as one; a body that is no JSON any more stays as it is."""

    def change(answer: Canned, chance: random.Random) -> Canned:
        for kind in kinds:
            try:
                answer = malformed(kind, answer, chance, "SOL")
            except (ValueError, TypeError, AttributeError, KeyError, IndexError):
                break
        return answer

    return Kind("answer", change, is_plausible=any(k.is_plausible for k in kinds))


def test_what_is_refused_stands_in_quarantine_alone_and_no_model_of_figures_reads_that(
    benches: dict[str, Bench], tmp_path: Path, project_root: Path
) -> None:
    lake = Lake(tmp_path, clock=HandClock(NOW), code_version="test")
    names = cycle(("a clock in seconds", "an empty object as record", "a null record"))
    for bench in benches.values():
        for dataset in ("candles", "funding_rates", "open_interest"):
            name = next(names)
            bench.clock.instant = NOW
            bench.market.spoil = lambda label, answer, name=name: malformed(
                KINDS[name], answer, random.Random(f"{name}:{label}"), "SOL"
            )
            try:
                lake.commit(bench.batches(dataset))
            finally:
                bench.market.spoil = lambda _, answer: answer
    refused_count = sum(g.quarantined_rows_count for g in lake.current())
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        create_raw_views(con, lake)
        assert con.execute("select count(*) from raw.quarantine").fetchone() == (refused_count,)
        shown = {d: con.execute(f"select * from raw.{d}").pl() for d in ("candles", "funding_rates", "open_interest")}
    assert refused_count >= len(lake.current()) == 3 * len(benches)
    for dataset, rows in shown.items():
        for row in rows.iter_rows(named=True):
            sound = benches[row["venue"]].truth[dataset][tuple(row[c] for c in RAW_TABLES[dataset].grain)]
            assert all(row[c] in (sound[c], None) for c in sound)
    readers = {
        p.name for p in (project_root / "dbt" / "models").rglob("*.sql") if "stg_lake__quarantine" in p.read_text()
    }
    sources = {p.name for p in (project_root / "dbt" / "models").rglob("*.sql") if "'quarantine'" in p.read_text()}
    assert sources == {"stg_lake__quarantine.sql"}
    # They count refused rows and show no figure of one.
    assert readers == {"fct_quarantined_rows_daily.sql", "fct_data_coverage_daily.sql"}
