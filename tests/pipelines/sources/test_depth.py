"""A band the book does not reach is missing and never zero; sums are exact in any order."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.depth import BANDS_BPS, BookFault, bands_of

pytestmark = pytest.mark.fast

# Books on a tick grid around 100.00: distances in ticks of 0.01 (1 bp) and quantities in thousandths.
_offsets = st.lists(st.integers(1, 900), min_size=1, max_size=40, unique=True)
_quantities = st.integers(0, 10**9)


@st.composite
def _books(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    bids = [((10_000 - o) / 100, draw(_quantities) / 1000) for o in draw(_offsets)]
    asks = [((10_000 + o) / 100, draw(_quantities) / 1000) for o in draw(_offsets)]
    return bids, asks


@given(_books())
def test_a_side_is_missing_exactly_where_no_level_was_seen_at_or_beyond_the_edge(
    book: tuple[list[tuple[float, float]], list[tuple[float, float]]],
) -> None:
    bids, asks = book
    mid, bands = bands_of(bids, asks)
    exact_mid = (Fraction(str(max(p for p, _ in bids))) + Fraction(str(min(p for p, _ in asks)))) / 2
    for band in bands:
        edge = Fraction(band.band_bps, 10_000)
        for levels, depth, sign in ((bids, band.bid_depth_base, -1), (asks, band.ask_depth_base, 1)):
            away = [(sign * (Fraction(str(p)) - exact_mid) / exact_mid, q) for p, q in levels]
            if max(a for a, _ in away) < edge:
                assert depth is None
            else:
                assert depth == math.fsum(q for a, q in away if a <= edge)
    assert mid == pytest.approx(float(exact_mid), rel=1e-15)


@given(_books())
def test_depth_grows_with_the_band_and_never_exceeds_the_side(
    book: tuple[list[tuple[float, float]], list[tuple[float, float]]],
) -> None:
    bids, asks = book
    _, bands = bands_of(bids, asks)
    for name, side in (("bid_depth_base", bids), ("ask_depth_base", asks)):
        seen = [getattr(b, name) for b in bands if getattr(b, name) is not None]
        assert seen == sorted(seen)
        assert all(depth <= math.fsum(q for _, q in side) for depth in seen)
        reached = [getattr(b, name) is not None for b in bands]
        assert reached == sorted(reached, reverse=True), "once missing, all wider bands are missing"


@given(_books(), st.randoms())
def test_the_order_of_the_levels_does_not_matter(
    book: tuple[list[tuple[float, float]], list[tuple[float, float]]], random: object
) -> None:
    bids, asks = book
    shuffled = [sorted(side, key=lambda _: random.random()) for side in (bids, asks)]  # type: ignore[attr-defined]  # narrower in the type than in the test double
    assert bands_of(*shuffled) == bands_of(bids, asks)


@given(_books())
def test_mirrored_books_have_mirrored_bands(
    book: tuple[list[tuple[float, float]], list[tuple[float, float]]],
) -> None:
    offsets = [(abs(p - 100.0), q) for p, q in book[0]]
    bids = [(round(100.0 - o, 2), q) for o, q in offsets]
    asks = [(round(100.0 + o, 2), q) for o, q in offsets]
    _, bands = bands_of(bids, asks)
    assert all(b.bid_depth_base == b.ask_depth_base for b in bands)


def test_a_level_on_the_edge_is_inside_and_proves_that_the_band_was_reached() -> None:
    _, bands = bands_of([(99.0, 2.0), (99.99, 1.0)], [(101.0, 3.0), (100.01, 1.0)])
    one_percent = next(b for b in bands if b.band_bps == 100)
    assert (one_percent.bid_depth_base, one_percent.ask_depth_base) == (3.0, 4.0)
    assert next(b for b in bands if b.band_bps == 200).bid_depth_base is None


def test_an_edge_that_binary_numbers_miss_is_still_the_edge() -> None:
    assert (100.0 - 99.9) / 100.0 < 0.001, "the reason for the slack"
    _, bands = bands_of([(99.9, 2.0), (99.99, 1.0)], [(100.1, 3.0), (100.01, 1.0)])
    assert (bands[0].band_bps, bands[0].bid_depth_base, bands[0].ask_depth_base) == (10, 3.0, 4.0)
    assert (bands[1].bid_depth_base, bands[1].ask_depth_base) == (None, None)


def test_a_reached_band_without_levels_is_zero_and_not_missing() -> None:
    _, bands = bands_of([(90.0, 5.0)], [(110.0, 5.0)])
    assert [b.bid_depth_base for b in bands] == [0.0] * len(BANDS_BPS)


@pytest.mark.parametrize(
    ("bids", "asks", "reason"),
    [
        ([], [(101.0, 1.0)], "empty"),
        ([(99.0, 1.0)], [], "empty"),
        ([(101.0, 1.0)], [(100.0, 1.0)], "crossed"),
        ([(100.0, 1.0)], [(100.0, 1.0)], "crossed"),
        ([(math.nan, 1.0)], [(100.0, 1.0)], "not a positive number"),
        ([(99.0, math.inf)], [(100.0, 1.0)], "not a positive number"),
        ([(99.0, -1.0)], [(100.0, 1.0)], "not a positive number"),
        ([(0.0, 1.0)], [(100.0, 1.0)], "not a positive number"),
    ],
)
def test_a_book_that_cannot_be_summed_is_refused(
    bids: list[tuple[float, float]], asks: list[tuple[float, float]], reason: str
) -> None:
    with pytest.raises(BookFault, match=reason):
        bands_of(bids, asks)


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_price_that_stands_twice_would_count_twice_and_is_refused(side: str) -> None:
    book = {"bids": [(99.0, 1.0), (98.0, 2.0)], "asks": [(101.0, 1.0), (102.0, 2.0)]}
    book[side].append(book[side][1])
    with pytest.raises(BookFault, match="stands twice"):
        bands_of(book["bids"], book["asks"])
