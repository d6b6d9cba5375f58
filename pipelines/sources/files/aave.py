"""A published list of Aave v2 liquidation calls, whose first half is in base units and whose second is in tokens.

Belongs here: telling the two layouts apart, and undoing their defects row by row, each under a code. Does not: reading the
CSV (``reading.py``), what the columns are called (``mappings/aave.yml``), the laws of the raw table (``quality``).

Both layouts share one header. A row of the first has whole numbers of base units, prices in wei, no liquidator, and USD
columns that are base units times a price; one of the second has decimal numbers of tokens, a liquidator, and USD columns
that can be used. A row that is neither is called unknown, and the raw table refuses it.

References
----------
Aave v2 price oracle: prices in wei of ETH. Decimals: the tokens' own contracts; a test holds them against the values of
both sides of 6,231 calls.
"""

from __future__ import annotations

import polars as pl

from pipelines.sources.files.books import Folded, Layout

BASE_UNITS, TOKENS, UNKNOWN = "base_units", "tokens", "unknown"

# Columns that the reader needs, beside those that a mapping passes through.
_NEEDED = (
    "collateralAmount",
    "collateralReserve",
    "pool",
    "principalAmount",
    "principalReserve",
    "timestamp",
    "user",
    "priceUSDTCollateral",
    "reservePriceETHPrincipal",
    "reservePriceUSDPrincipal",
    "reservePriceETHCollateral",
    "amountUSDPincipal",
    "amountUSDCollateral",
    "liquidator",
    "amountUSDPrincipal",
)

# Only tokens of this list can be scaled: a new one is refused and not guessed.
_OTHER_DECIMALS = {"GUSD": 2, "USDC": 6, "USDT": 6, "AmmUSDC": 6, "AmmUSDT": 6, "WBTC": 8, "AmmWBTC": 8, "AMPL": 9}
_EIGHTEEN_DECIMALS = (
    *("AAVE", "BAL", "BAT", "BUSD", "CRV", "DAI", "DPI", "ENJ", "FEI", "FRAX", "KNC", "LINK", "MANA", "MKR", "PAX"),
    *("RAI", "REN", "SNX", "SUSD", "TUSD", "UNI", "UST", "WETH", "XSUSHI", "YFI", "ZRX"),
    *("AmmBptBALWETH", "AmmDAI", "AmmUniWBTCWETH", "AmmWETH"),
)
_DECIMALS = {**dict.fromkeys(_EIGHTEEN_DECIMALS, 18), **_OTHER_DECIMALS}
# The feed tells no price of ETH in ETH.
_ETHER = ("WETH", "AmmWETH")
_WEI = 1e18
# Prices are quotients of doubles: equal ones differ by 1e-16, different ones by more than 1e-9 in every row.
_SAME = 1e-12

_c = pl.col


def _aave_calls(rows: pl.DataFrame) -> Folded:
    """Add to the file's columns what they mean: unit, plain amounts, decimals, values, repairs, identity.

    Parameters
    ----------
    rows : polars.DataFrame
        Texts, at least the columns ``_NEEDED``.

    Returns
    -------
    Folded
        The same rows with further columns: ``amounts_unit``, ``collateral_raw``, ``debt_raw``, ``collateral_decimals``,
        ``debt_decimals``, ``reported_collateral_usd``, ``reported_debt_usd``, ``est_collateral_usd``, ``est_debt_usd``,
        ``repairs``, ``call_id``.
    """
    text = {name: _stripped(name) for name in _NEEDED}
    frame = rows.with_columns(**text).with_columns(_unit().alias("amounts_unit"))
    is_raw = _c("amounts_unit") == BASE_UNITS
    frame = frame.with_columns(
        collateral_raw=_plain("collateralAmount"),
        debt_raw=_plain("principalAmount"),
        collateral_decimals=pl.when(is_raw).then(_decimals("collateralReserve")),
        debt_decimals=pl.when(is_raw).then(_decimals("principalReserve")),
        **_prices(),
    )
    frame = frame.with_columns(
        is_swapped=is_raw & _same("collateral_wei", "usdt_wei") & ~_same("usdt_cell", "usdt_wei")
    )
    frame = frame.with_columns(collateral_wei=pl.when("is_swapped").then("usdt_cell").otherwise("collateral_wei"))
    added = frame.with_columns(
        reported_collateral_usd=pl.when(~is_raw).then("amountUSDCollateral"),
        reported_debt_usd=pl.when(~is_raw).then("amountUSDPrincipal"),
        est_collateral_usd=pl.when(is_raw).then(_value("collateral")),
        est_debt_usd=pl.when(is_raw).then(_value("debt")),
        repairs=_repairs(is_raw),
        call_id=_call_id(),
    )
    return Folded(added.drop("is_swapped", "usdt_cell", "usdt_wei", "collateral_wei", "debt_wei"))


def _stripped(name: str) -> pl.Expr:
    cell = _c(name).str.strip_chars()
    return pl.when(cell != "").then(cell)


def _unit() -> pl.Expr:
    amounts = [_c("collateralAmount"), _c("principalAmount")]
    is_whole = pl.all_horizontal(a.str.contains(r"^[0-9]+$") for a in amounts)
    is_decimal = pl.all_horizontal(a.str.contains(r"^[0-9]+(\.[0-9]+)?([eE]-?[0-9]{1,2})?$") for a in amounts) & (
        pl.any_horizontal(a.str.contains(r"[.eE]") for a in amounts)
    )
    first = _c("liquidator").is_null() & _c("priceUSDTCollateral").is_not_null() & _c("amountUSDPrincipal").is_null()
    second = _c("liquidator").is_not_null() & _c("priceUSDTCollateral").is_null() & _c("amountUSDPincipal").is_null()
    return (
        pl.when((is_whole & first).fill_null(False))
        .then(pl.lit(BASE_UNITS))
        .when((is_decimal & second).fill_null(False))
        .then(pl.lit(TOKENS))
        .otherwise(pl.lit(UNKNOWN))
    )


def _plain(name: str) -> pl.Expr:
    """Return the amount in plain digits: ``5.8e-05`` becomes ``0.000058`` by moving the point, and no digit changes."""
    parts = _c(name).str.extract_groups(r"^([0-9])(?:\.([0-9]+))?[eE]-([0-9]{1,2})$")
    digits = parts.struct.field("1") + parts.struct.field("2").fill_null("")
    zeros = pl.lit("0").repeat_by(parts.struct.field("3").cast(pl.Int64) - 1).list.join("")
    return pl.coalesce(pl.lit("0.") + zeros + digits, _c(name))


def _decimals(symbol: str) -> pl.Expr:
    return _c(symbol).replace_strict(_DECIMALS, default=None, return_dtype=pl.Int64)


def _number(name: str) -> pl.Expr:
    return _c(name).cast(pl.Float64, strict=False)


def _prices() -> dict[str, pl.Expr]:
    """Return prices per token in wei: of USDT, by which wei become dollars, of the collateral and of the debt."""

    def of(name: str, symbol: str) -> pl.Expr:
        return pl.coalesce(_number(name), pl.when(_c(symbol).is_in(_ETHER)).then(_WEI))

    # The USD price of the debt was made with USDT's: their quotient is the one price of USDT that is not in doubt.
    usdt = _number("reservePriceETHPrincipal") / _number("reservePriceUSDPrincipal")
    return {
        "usdt_cell": _number("priceUSDTCollateral"),
        "usdt_wei": pl.coalesce(usdt, _number("priceUSDTCollateral")),
        "collateral_wei": of("reservePriceETHCollateral", "collateralReserve"),
        "debt_wei": of("reservePriceETHPrincipal", "principalReserve"),
    }


def _same(a: str, b: str) -> pl.Expr:
    return ((_c(a) / _c(b) - 1).abs() < _SAME).fill_null(False)


def _value(leg: str) -> pl.Expr:
    tokens = _c(f"{leg}_raw").cast(pl.Float64, strict=False) / pl.lit(10.0).pow(_c(f"{leg}_decimals"))
    return tokens * (_c(f"{leg}_wei") / _c("usdt_wei"))


def _repairs(is_raw: pl.Expr) -> pl.Expr:
    no_price = _c("reservePriceETHPrincipal").is_null() | _c("reservePriceETHCollateral").is_null()
    codes = [
        pl.when(is_raw).then(pl.lit("unscaled_usd_estimated_anew")),
        pl.when(is_raw & no_price).then(pl.lit("ether_price_filled")),
        pl.when("is_swapped").then(pl.lit("prices_swapped_back")),
    ]
    said = pl.concat_str(codes, separator=",", ignore_nulls=True)
    return pl.when(said != "").then(said)


def _call_id() -> pl.Expr:
    """Return all that the file tells of a call itself: it has no transaction hash."""
    cells = (
        "timestamp", "pool", "user", "liquidator", "collateralReserve", "collateralAmount", "principalReserve",
        "principalAmount",
    )  # fmt: skip
    return pl.concat_str([_c(name).fill_null("-") for name in cells], separator=":")


AAVE_CALLS = Layout(_NEEDED, _aave_calls)
