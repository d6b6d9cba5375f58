"""Depth curves: measured bands, reach, the law beyond, the prior, coverage, and the tabulated rows."""

from __future__ import annotations

import numpy as np
import pytest

from assets.cascade.depth import BandCurve, SideDepth, band_curve, book_rows, depth_at, row_moves, side_depth
from assets.cascade.params import DEPTH_PRIOR, REPORTED_SHOCKS_FRAC, SCALED_DEPTH_NAME

pytestmark = pytest.mark.fast

CURVE = BandCurve((0.01, 0.02), (10.0, 30.0))


def test_a_missing_band_ends_the_reach_and_is_not_zero() -> None:
    curve = band_curve([(100.0, 10.0), (200.0, 30.0), (300.0, None), (400.0, 99.0)])
    assert curve == CURVE


@pytest.mark.parametrize(
    "bands",
    [[], [(100.0, None), (200.0, 30.0)], [(100.0, 0.0), (200.0, 0.0)], [(100.0, 30.0), (200.0, 10.0)]],
    ids=["no band", "nearest missing", "nothing in reach", "cumulative depth decreases"],
)
def test_an_unusable_book_has_no_curve(bands: list[tuple[float, float | None]]) -> None:
    assert band_curve(bands) is None


def test_depth_is_linear_inside_and_follows_the_law_beyond() -> None:
    depth = SideDepth((CURVE,), 1.0, "measured", None)
    found = depth_at(depth, np.array([0.0, 0.005, 0.01, 0.015, 0.02, 0.04]), 0.5)
    np.testing.assert_allclose(found, [0.0, 5.0, 10.0, 20.0, 30.0, 30.0 * 2**2], rtol=1e-12)


def test_books_of_different_reach_add_up_without_a_hole() -> None:
    short = BandCurve((0.01,), (10.0,))
    both = depth_at(SideDepth((CURVE, short), 1.0, "measured", None), np.array([0.01, 0.02]), 1.0)
    np.testing.assert_allclose(both, [20.0, 50.0], rtol=1e-12)


def test_all_fuel_venues_measured_needs_no_prior() -> None:
    depth = side_depth({"a": [CURVE], "b": [CURVE], "other": [CURVE]}, {"a": 1.0, "b": 3.0})
    assert (depth.origin, depth.prior, depth.scale_x, len(depth.curves)) == ("measured", None, 1.0, 2)


def test_partly_measured_depth_is_scaled_and_says_so() -> None:
    depth = side_depth({"b": [CURVE], "a": []}, {"a": 1.0, "b": 3.0})
    assert (depth.origin, depth.prior) == ("measured", f"{SCALED_DEPTH_NAME}|measured=0.75")
    assert depth_at(depth, np.array([0.01]), 1.0)[0] == pytest.approx(10.0 / 0.75)


@pytest.mark.parametrize("curves", [{}, {"a": [CURVE]}], ids=["none measured", "less than half"])
def test_prior_covers_the_fuel_venues_by_construction(curves: dict[str, list[BandCurve]]) -> None:
    depth = side_depth(curves, {"a": 100.0, "b": 300.0})
    assert (depth.origin, depth.prior) == ("prior", DEPTH_PRIOR.name)
    within = depth_at(depth, np.array([DEPTH_PRIOR.reach_frac]), 0.875)[0]
    assert within == pytest.approx(400.0 * DEPTH_PRIOR.share_of_open_interest_frac)


@pytest.mark.parametrize("side", ["long", "short"])
def test_rows_hold_every_reported_shock_exactly(side: str) -> None:
    moves = row_moves(side)
    assert set(REPORTED_SHOCKS_FRAC) <= set(moves.tolist())
    assert np.all(np.diff(moves) > 0)
    assert moves[-1] == (0.9995 if side == "long" else 10.0)


@pytest.mark.parametrize("side", ["long", "short"])
def test_rows_are_lawful_and_never_hold_more_than_the_curve(side: str) -> None:
    depth = SideDepth((CURVE,), 2.0, "measured", None)
    book = book_rows(depth, side, 0.875, 0.01)
    moves = row_moves(side)
    assert np.all(np.diff(book.cumulative_lots) >= 0)
    assert np.all(book.cumulative_lots * 0.01 <= depth_at(depth, moves, 0.875) * (1 + 1e-12))
    np.testing.assert_allclose(np.abs(book.relative_price - 1.0), moves, rtol=1e-9)
