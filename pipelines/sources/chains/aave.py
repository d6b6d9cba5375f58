"""One Aave market on one chain: what its logs and getters say, as rows of the raw tables.

Belongs here: the interface (``aave_abi.json``), decoding. Does not: where markets are
(``lending_markets.py``), which logs there are (``evm_logs.py``), days and the lake (``lending.py``), the mathematics of health (``assets/cascade/lending.py``).

The seized amount of a call is what the liquidator received: the protocol's share of the bonus is not in the log. v2 has the
same liquidation log; its getters are not read.

References
----------
Aave v3 developer docs: Pool, PoolAddressesProvider, AaveProtocolDataProvider, AaveOracle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from eth_abi.abi import decode, encode
from eth_utils.abi import collapse_if_tuple, event_abi_to_log_topic, function_abi_to_4byte_selector

from assets.cascade.lending import collateral_liquidation_price
from assets.ports import SourceOutage
from pipelines.sources.chains.evm import ChainLog, ChainNode, Header, LogQuery
from pipelines.sources.chains.evm_logs import RangeRead
from pipelines.sources.chains.lending_markets import Deployment

_ABI: list[dict[str, Any]] = json.loads(Path(__file__).with_name("aave_abi.json").read_text(encoding="utf-8"))
_FUNCTIONS = {item["name"]: item for item in _ABI if item["type"] == "function"}
_EVENTS = {item["name"]: item for item in _ABI if item["type"] == "event"}
_EVENT_OF_TOPIC = {f"0x{event_abi_to_log_topic(item).hex()}": item for item in _EVENTS.values()}  # type: ignore[arg-type]  # read from JSON

# An account may have a position after any of these. Of each, the argument that names the account.
_ACCOUNT_OF = {
    "Supply": "onBehalfOf",
    "Withdraw": "user",
    "Borrow": "onBehalfOf",
    "Repay": "user",
    "LiquidationCall": "user",
}
_BPS = 10_000
# Where the account's own cover and that of its reserves differ by more, other thresholds hold (e-mode, LTV of zero).
_COVER_TOLERANCE = 1e-3
_NO_DEBT = 2**256 - 1


@dataclass(frozen=True)
class Token:
    """A reserve's token; `decimals` is None where the market does not list it (any more)."""

    symbol: str
    decimals: int | None


def liquidation_query(deployment: Deployment) -> LogQuery:
    """Return the query of a market's liquidation calls."""
    return LogQuery((deployment.pool_address,), (_topic("LiquidationCall"),))


def account_query(deployment: Deployment) -> LogQuery:
    """Return the query of every log that names an account with a position."""
    return LogQuery((deployment.pool_address,), tuple(_topic(name) for name in _ACCOUNT_OF))


def accounts_in(logs: Iterable[ChainLog]) -> list[str]:
    """Return the accounts that logs of `account_query` name, each once, in order."""
    found = set()
    for log in logs:
        name, arguments = decoded(log)
        found.add(str(arguments[_ACCOUNT_OF[name]]))
    return sorted(found)


def decoded(log: ChainLog) -> tuple[str, dict[str, Any]]:
    """Return the name of an event and its arguments; addresses in lower case.

    Raises
    ------
    SourceOutage
        Where the log is none of the interface's, or its bytes do not fit.
    """
    event = _EVENT_OF_TOPIC.get(log.topics[0])
    if event is None:
        raise SourceOutage("venue_error", f"log {log.offset} of block {log.height} is of an unknown event")
    indexed = [i for i in event["inputs"] if i["indexed"]]
    plain = [i for i in event["inputs"] if not i["indexed"]]
    try:
        told = [decode([i["type"]], bytes.fromhex(t[2:]))[0] for i, t in zip(indexed, log.topics[1:], strict=True)]
        rest = decode([i["type"] for i in plain], bytes.fromhex(log.data[2:]))
    except Exception as error:  # noqa: BLE001  # eth_abi raises many kinds; any of them is a log that is not this event
        raise SourceOutage("venue_error", f"log {log.offset} of block {log.height}: {type(error).__name__}") from None
    return event["name"], {i["name"]: value for i, value in zip([*indexed, *plain], [*told, *rest], strict=True)}


def _topic(event: str) -> str:
    return next(topic for topic, item in _EVENT_OF_TOPIC.items() if item["name"] == event)


class AaveMarket:
    """A market as one provider shows it.

    Parameters
    ----------
    node : ChainNode
    deployment : Deployment
    """

    def __init__(self, node: ChainNode, deployment: Deployment) -> None:
        self.node, self.deployment = node, deployment
        self._tokens: dict[str, Token] = {}

    @cached_property
    def _data_provider(self) -> str:
        known = self.deployment.data_provider_address
        return known or str(self._one(self.deployment.market_address, "getPoolDataProvider", (), self.node.head()))

    @cached_property
    def _oracle(self) -> str:
        return str(self._one(self.deployment.market_address, "getPriceOracle", (), self.node.head()))

    def tokens(self, height: int) -> dict[str, Token]:
        """Return the reserves' tokens by address."""
        listed = self._one(self._data_provider, "getAllReservesTokens", (), height)
        for symbol, address in listed:
            if address not in self._tokens:
                decimals = self._ask(self._data_provider, "getReserveConfigurationData", (address,), height)["decimals"]
                self._tokens[address] = Token(str(symbol), int(decimals))
        return {address: self._tokens[address] for _, address in listed}

    def call_rows(self, read: RangeRead, tokens: Mapping[str, Token]) -> list[dict[str, Any]]:
        """Return rows of ``lending_liquidations`` from a range of liquidation calls."""
        rows = []
        for log in read.logs:
            _, call = decoded(log)
            seized = tokens.get(call["collateralAsset"], Token("unknown", None))
            repaid = tokens.get(call["debtAsset"], Token("unknown", None))
            rows.append(
                {
                    **self._place(),
                    "call_id": f"{log.transaction_hash}:{log.offset}",
                    "occurred_at_utc": instant(read.clocks[log.height]),
                    "block_height": log.height,
                    "block_hash": log.block_hash,
                    "transaction_hash": log.transaction_hash,
                    "log_offset": log.offset,
                    "user_address": call["user"],
                    "liquidator_address": call["liquidator"],
                    "collateral_symbol": seized.symbol,
                    "collateral_address": call["collateralAsset"],
                    "collateral_seized_raw": str(call["liquidatedCollateralAmount"]),
                    "collateral_decimals_count": seized.decimals,
                    "debt_symbol": repaid.symbol,
                    "debt_address": call["debtAsset"],
                    "debt_repaid_raw": str(call["debtToCover"]),
                    "debt_decimals_count": repaid.decimals,
                    "amounts_unit": "base_units",
                    "is_atoken_received": call["receiveAToken"],
                    "verified_by": read.verified_by,
                }
            )
        return rows

    def reserve_rows(self, header: Header) -> list[dict[str, Any]]:
        """Return rows of ``lending_reserves`` as of a block."""
        height, provider = header.height, self._data_provider
        unit = self._one(self._oracle, "BASE_CURRENCY_UNIT", (), height)
        rows = []
        for address, token in self.tokens(height).items():
            rules = self._ask(provider, "getReserveConfigurationData", (address,), height)
            caps = self._ask(provider, "getReserveCaps", (address,), height)
            rows.append(
                {
                    **self._place(),
                    **_as_of(header),
                    "token_symbol": token.symbol,
                    "token_address": address,
                    "token_decimals_count": token.decimals,
                    "ltv_frac": rules["ltv"] / _BPS,
                    "liquidation_threshold_frac": rules["liquidationThreshold"] / _BPS,
                    # 10,500 is a bonus of 5 %; 0 where the reserve is no collateral.
                    "liquidation_bonus_frac": (rules["liquidationBonus"] - _BPS) / _BPS
                    if rules["liquidationBonus"]
                    else None,
                    "protocol_fee_frac": self._one(provider, "getLiquidationProtocolFee", (address,), height) / _BPS,
                    "reserve_factor_frac": rules["reserveFactor"] / _BPS,
                    # The contract's 0 is no cap.
                    "supply_cap_base": float(caps["supplyCap"]) if caps["supplyCap"] else None,
                    "borrow_cap_base": float(caps["borrowCap"]) if caps["borrowCap"] else None,
                    "supplied_raw": str(self._one(provider, "getATokenTotalSupply", (address,), height)),
                    "borrowed_raw": str(self._one(provider, "getTotalDebt", (address,), height)),
                    "oracle_price_quote": self._one(self._oracle, "getAssetPrice", (address,), height) / unit,
                    "is_collateral_enabled": rules["usageAsCollateralEnabled"],
                    "is_borrowing_enabled": rules["borrowingEnabled"],
                    "is_active": rules["isActive"],
                    "is_frozen": rules["isFrozen"],
                    "is_paused": self._one(provider, "getPaused", (address,), height),
                }
            )
        return rows

    def position_rows(
        self, header: Header, accounts: Sequence[str], reserves: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return rows of ``lending_positions`` of the accounts that owe something as of a block.

        Parameters
        ----------
        header : Header
        accounts : sequence of str
        reserves : sequence of mapping
            `reserve_rows` of the same block.
        """
        unit = self._one(self._oracle, "BASE_CURRENCY_UNIT", (), header.height)
        return [row for user in accounts for row in self._position(header, user, reserves, unit)]

    def _position(
        self, header: Header, user: str, reserves: Sequence[Mapping[str, Any]], unit: int
    ) -> list[dict[str, Any]]:
        account = self._ask(self.deployment.pool_address, "getUserAccountData", (user,), header.height)
        if account["totalDebtBase"] == 0:
            return []
        legs = []
        for reserve in reserves:
            held = self._ask(self._data_provider, "getUserReserveData", (reserve["token_address"], user), header.height)
            owed = held["currentStableDebt"] + held["currentVariableDebt"]
            if held["currentATokenBalance"] or owed:
                legs.append((reserve, held["currentATokenBalance"], owed, bool(held["usageAsCollateralEnabled"])))
        prices = _liquidation_prices(legs, account, unit)
        health = account["healthFactor"]
        return [
            {
                **self._place(),
                **_as_of(header),
                "user_address": user,
                "token_symbol": reserve["token_symbol"],
                "token_address": reserve["token_address"],
                "token_decimals_count": reserve["token_decimals_count"],
                "supplied_raw": str(supplied),
                "borrowed_raw": str(owed),
                "is_collateral": is_collateral,
                "oracle_price_quote": reserve["oracle_price_quote"],
                "liquidation_threshold_frac": reserve["liquidation_threshold_frac"],
                "est_liquidation_price_quote": price,
                "account_collateral_usd": account["totalCollateralBase"] / unit,
                "account_debt_usd": account["totalDebtBase"] / unit,
                "account_threshold_frac": account["currentLiquidationThreshold"] / _BPS,
                "health_factor_raw": str(health),
                "health_factor_x": None if health == _NO_DEBT else health / 10**18,
            }
            for (reserve, supplied, owed, is_collateral), price in zip(legs, prices, strict=True)
        ]

    def _place(self) -> dict[str, str]:
        d = self.deployment
        return {"venue": d.venue, "chain": d.chain, "protocol": d.protocol, "market_address": d.market_address}

    def _one(self, to: str, function: str, arguments: Sequence[Any], height: int) -> Any:
        (value,) = self._ask(to, function, arguments, height).values()
        return value

    def _ask(self, to: str, function: str, arguments: Sequence[Any], height: int) -> dict[str, Any]:
        item = _FUNCTIONS[function]
        data = function_abi_to_4byte_selector(item) + encode([i["type"] for i in item["inputs"]], list(arguments))  # type: ignore[arg-type]  # read from JSON
        answer = self.node.call(to, f"0x{data.hex()}", height)
        try:
            values = decode([collapse_if_tuple(o) for o in item["outputs"]], answer)
        except Exception as error:  # noqa: BLE001  # eth_abi raises many kinds; any of them is an answer of another contract
            raise SourceOutage(
                "venue_error",
                f"{self.deployment.venue}: {function} at {to} answers {len(answer)} bytes ({type(error).__name__})",
            ) from None
        return {o["name"]: value for o, value in zip(item["outputs"], values, strict=True)}


def _as_of(header: Header) -> dict[str, Any]:
    return {"observed_at_utc": instant(header.at_s), "block_height": header.height, "block_hash": header.hash}


def instant(at_s: int) -> datetime:
    """Return seconds since 1970 as an instant, UTC, naive."""
    return datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None)


def _liquidation_prices(
    legs: Sequence[tuple[Mapping[str, Any], int, int, bool]], account: Mapping[str, int], unit: int
) -> list[float | None]:
    """Return per leg the price of its token at which health is 1, all others fixed; None where it cannot be told."""
    scale = np.array([10.0 ** leg[0]["token_decimals_count"] for leg in legs])
    price = np.array([leg[0]["oracle_price_quote"] for leg in legs])
    threshold = np.array([leg[0]["liquidation_threshold_frac"] for leg in legs])
    held = np.array([float(leg[1]) if leg[3] else 0.0 for leg in legs]) / scale
    owed = np.array([float(leg[2]) for leg in legs]) / scale
    cover, debt = held * price * threshold, owed * price
    told = account["totalCollateralBase"] / unit * account["currentLiquidationThreshold"] / _BPS
    if abs(cover.sum() - told) > _COVER_TOLERANCE * max(told, 1.0):
        return [None] * len(legs)
    found = collateral_liquidation_price(
        held, threshold, np.maximum(cover.sum() - cover, 0.0), np.maximum(debt.sum() - debt, 0.0), owed
    )
    return [None if np.isnan(x) else float(x) for x in found]
