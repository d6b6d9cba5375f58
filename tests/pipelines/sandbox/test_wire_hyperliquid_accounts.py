"""Hyperliquid's questions about an address: shapes, inclusive bounds, pages, memory, what cannot be read."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from pipelines.sandbox import wire_hyperliquid_accounts as accounts
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_hyperliquid import HyperliquidWire
from pipelines.sandbox.wire_hyperliquid_accounts import HLP_VAULT, LIQUIDATOR_VAULT
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 11, 0, 30)
KEYS = {"coin", "px", "sz", "side", "time", "startPosition", "dir", "closedPnl", "hash", "oid", "crossed", "fee", "tid"}


@pytest.fixture(scope="module")
def wire() -> HyperliquidWire:
    return HyperliquidWire(World(7, date(2025, 9, 20), 22, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10)))


def _fills(wire: HyperliquidWire, start: int = 0, now: datetime = NOW, **more: Any) -> list[dict[str, Any]]:
    asked = {"type": "userFillsByTime", "user": LIQUIDATOR_VAULT, "startTime": start, **more}
    fills: list[dict[str, Any]] = wire.info(asked, now)
    return fills


def test_fills_have_the_documented_keys_and_types(wire: HyperliquidWire) -> None:
    fills = _fills(wire)
    assert len(fills) > 10
    for fill in fills:
        assert set(fill) - {"liquidation"} == {*KEYS, "feeToken"}
        assert [type(fill[k]) for k in ("px", "sz", "time", "tid", "crossed")] == [str, str, int, int, bool]
        assert fill["side"] in ("A", "B")
    took = [f["liquidation"] for f in fills if "liquidation" in f]
    assert all(set(told) == {"liquidatedUser", "markPx", "method"} for told in took)
    assert 0 < len(took) < len(fills), "usual fills stand between them"
    assert len({f["tid"] for f in fills if f["coin"] == "SOL"}) == sum(f["coin"] == "SOL" for f in fills)


def test_bounds_are_inclusive_pages_the_oldest_and_only_the_latest_are_kept(
    wire: HyperliquidWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    fills = _fills(wire)
    times = [f["time"] for f in fills]
    assert times == sorted(times)
    assert times[-1] <= to_ms(NOW)
    inside = _fills(wire, times[3], endTime=times[6])
    assert inside == [f for f in fills if times[3] <= f["time"] <= times[6]]
    monkeypatch.setattr(accounts, "FILLS_PAGE_COUNT", 4)
    assert _fills(wire) == fills[:4]
    monkeypatch.setattr(accounts, "FILLS_KEPT_COUNT", 2)
    assert _fills(wire) == fills[-2:]


def test_another_address_has_nothing(wire: HyperliquidWire) -> None:
    assert _fills(wire, user=HLP_VAULT) == []
    assert wire.info({"type": "vaultDetails", "vaultAddress": LIQUIDATOR_VAULT}, NOW) is None


def test_the_vaults_value_is_told_hour_by_hour(wire: HyperliquidWire) -> None:
    vault = wire.info({"type": "vaultDetails", "vaultAddress": HLP_VAULT}, NOW)
    ((span, day),) = vault["portfolio"]
    assert (span, vault["vaultAddress"], set(day)) == ("day", HLP_VAULT, {"accountValueHistory", "pnlHistory", "vlm"})
    assert day["accountValueHistory"][-1] == [
        to_ms(datetime(2025, 10, 11)),
        f"{wire.market.insurance_fund_usd(datetime(2025, 10, 11)):.2f}",
    ]
    assert len(day["accountValueHistory"]) == 24


@pytest.mark.parametrize(
    "asked",
    [
        {"type": "userFillsByTime"},
        {"type": "userFillsByTime", "user": "0x12", "startTime": 0},
        {"type": "userFillsByTime", "user": LIQUIDATOR_VAULT},
        {"type": "userFillsByTime", "user": LIQUIDATOR_VAULT, "startTime": "0"},
        {"type": "userFillsByTime", "user": LIQUIDATOR_VAULT, "startTime": 0, "endTime": 1.5},
        {"type": "vaultDetails"},
        {"type": "vaultDetails", "vaultAddress": 7},
    ],
)
def test_what_cannot_be_read_is_422(wire: HyperliquidWire, asked: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        wire.info(asked, NOW)
    assert caught.value.status == 422
