"""The law of names: every column name ends in its unit, and the unit fixes the SQL type.

Belongs here: the closed list of unit tokens, clocks and enumerations, and the functions that judge a name.
Does not: which columns exist (``quality/fields``) and which table holds them (``quality/schemas``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """One unit token: what a number with this ending means and how DuckDB stores it in a mart."""

    token: str
    meaning: str
    sql_type: str


# Money and quantities are DECIMAL: a parallel sum(double) is not reproducible. Ratios stay DOUBLE and are
# aggregated in a declared order. Widths are chosen so that price x quantity still fits DECIMAL(38, 16).
UNITS: dict[str, Unit] = {
    u.token: u
    for u in (
        Unit("_usd", "US dollars (USD stablecoins counted at par)", "DECIMAL(28,4)"),
        Unit("_quote", "a price: quote units per one base unit", "DECIMAL(18,8)"),
        Unit("_base", "a quantity in base units (coins)", "DECIMAL(28,8)"),
        Unit("_settle", "an amount in the row's own `settle_asset`", "DECIMAL(28,8)"),
        Unit("_contracts", "a number of venue contracts", "DECIMAL(28,8)"),
        Unit("_bps", "basis points, 1e-4", "DOUBLE"),
        Unit("_frac", "a fraction, 1.0 = 100 %", "DOUBLE"),
        Unit("_x", "a multiple or a dimensionless ratio (beta, z-score, leverage)", "DOUBLE"),
        Unit("_count", "a whole number of things", "BIGINT"),
        Unit("_rank", "a position in an order, 1 = first", "BIGINT"),
        Unit("_height", "a block's number in its chain, 0 = the first", "BIGINT"),
        Unit("_offset", "a place counted from 0", "BIGINT"),
        Unit("_index", "points of a published index", "DOUBLE"),
        Unit("_native", "a figure in the unit named by the row's own `unit` column", "DOUBLE"),
        Unit("_s", "seconds", "DOUBLE"),
        Unit("_hours", "hours", "DOUBLE"),
    )
}

# Clocks: instants are TIMESTAMP in UTC, days are UTC days.
CLOCKS: dict[str, str] = {
    "_at_utc": "TIMESTAMP",
    "_start_utc": "TIMESTAMP",
    "_end_utc": "TIMESTAMP",
    "_date_utc": "DATE",
    # Bounds of validity, [from, to).
    "_from_utc": "TIMESTAMP",
    "_to_utc": "TIMESTAMP",
}

NUMERIC_SQL_TYPES = ("DECIMAL", "DOUBLE", "BIGINT", "INTEGER", "HUGEINT", "FLOAT", "SMALLINT", "TINYINT", "REAL")
TEMPORAL_SQL_TYPES = ("TIMESTAMP", "DATE", "TIME")

# Names that a unit law alone would let pass and that are refused (STYLE: a bare `side` is ambiguous, `_pct` is not used).
REFUSED_NAMES = ("side", "day", "date", "timestamp", "price", "size", "amount")
REFUSED_ENDINGS = ("_pct", "_percent", "_usdt", "_ts", "_ms")


def sql_type_of(name: str) -> str | None:
    """Return the SQL type that the last token of `name` demands, or None where the name carries neither unit nor clock."""
    for token, sql_type in CLOCKS.items():
        if name.endswith(token):
            return sql_type
    for token, unit in UNITS.items():
        if name.endswith(token):
            return unit.sql_type
    if name.startswith(("is_", "has_")):
        return "BOOLEAN"
    return None


def name_fault(name: str, sql_type: str) -> str | None:
    """Judge one column against the law of names.

    Parameters
    ----------
    name : str
        Column name.
    sql_type : str
        DuckDB type as declared in a contract or a schema, for example ``DECIMAL(28,4)``.

    Returns
    -------
    str or None
        What is wrong, in one sentence that says what to do; None where the name is lawful.
    """
    upper = sql_type.upper()
    if name in REFUSED_NAMES:
        return f"`{name}` is ambiguous: say whose and in which unit"
    for ending in REFUSED_ENDINGS:
        if name.endswith(ending):
            return f"`{name}` ends in `{ending}`, which is not a unit of quality/units.py"
    wanted = sql_type_of(name)
    if upper.startswith(NUMERIC_SQL_TYPES):
        if wanted is None or wanted in CLOCKS.values() or wanted == "BOOLEAN":
            return f"numeric column `{name}` ({sql_type}) does not end in a unit: {' '.join(UNITS)}"
        if wanted != upper:
            return f"`{name}` is {sql_type}, its unit demands {wanted}"
    elif upper.startswith(TEMPORAL_SQL_TYPES):
        if wanted not in CLOCKS.values():
            return f"temporal column `{name}` ({sql_type}) does not end in a clock: {' '.join(CLOCKS)}"
        if wanted != upper:
            return f"`{name}` is {sql_type}, its clock demands {wanted}"
    elif wanted is not None and wanted != upper:
        return f"`{name}` is {sql_type}, its ending demands {wanted}"
    return None
