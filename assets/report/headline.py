"""The headline: a handful of figures and sentences, each with the condition under which it holds.

Belongs here: which figure of which section is told first, and what stands in its place where it is missing. Does not: the
sentences themselves, which are in the words table of each language. Nothing here is advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from assets.report.model import (
    Coverage,
    EtfFlows,
    Funding,
    Headline,
    Lending,
    OpenInterest,
    Origin,
    Prices,
    Sentence,
    Stress,
    StressSetting,
    Value,
)
from assets.report.rows import FundingRow, OpenInterestTotal

# The asset whose figures lead where it is present; else the largest of the day.
LEAD_ASSET = "BTC"

# More assets than this make a sentence unreadable; the rest is counted and stands in the tables.
MAX_ITEMS = 5


def build_headline(
    prices: Prices,
    funding: Funding,
    open_interest: OpenInterest,
    lending: Lending,
    etf: EtfFlows,
    stress: Stress,
    coverage: Coverage,
) -> Headline:
    """Build key figures and sentences from the finished sections."""
    sections = (prices, funding, open_interest, lending, etf, stress, coverage)
    return Headline(
        origin=_joined([section.origin for section in sections]),
        figures=(
            _price_figure(prices),
            _open_interest_figure(open_interest),
            _funding_figure(funding),
            _critical_figure(stress),
            _etf_figure(etf),
        ),
        sentences=(
            _move(prices),
            _open_interest(open_interest),
            _funding(funding),
            _critical(stress),
            *_lending(lending),
            _etf(etf),
            _coverage(coverage),
        ),
    )


def _joined(origins: Sequence[Origin]) -> Origin:
    days = [origin.latest_date_utc for origin in origins if origin.latest_date_utc]
    return Origin(
        marts=tuple(origin.marts[0] for origin in origins),
        rows_count=sum(origin.rows_count for origin in origins),
        synthetic_rows_count=sum(origin.synthetic_rows_count for origin in origins),
        latest_date_utc=max(days, default=None),
        missing_reasons=(),
        is_missing=all(origin.is_missing for origin in origins),
        is_synthetic=any(origin.is_synthetic for origin in origins),
        is_estimated=any(origin.is_estimated for origin in origins),
    )


def _lead(assets: Sequence[str]) -> int:
    """Return the place of the leading asset in a non-empty sequence."""
    return assets.index(LEAD_ASSET) if LEAD_ASSET in assets else 0


# --- key figures -------------------------------------------------------------------------------------------------------


def _price_figure(prices: Prices) -> Sentence:
    if not prices.rows:
        return Sentence("figure.price_missing")
    row = prices.rows[_lead([r.asset for r in prices.rows])]
    return Sentence(
        "figure.price", {"asset": row.asset, "close_quote": row.close_quote, "return_frac": row.return_frac}
    )


def _open_interest_figure(section: OpenInterest) -> Sentence:
    if not section.totals:
        return Sentence("figure.open_interest_missing")
    total = section.totals[_lead([t.asset for t in section.totals])]
    return Sentence("figure.open_interest", _changes(total) | {"end_usd": total.usd.end_usd})


def _funding_figure(funding: Funding) -> Sentence:
    known = [row for row in funding.rows if row.median_funding_8h_frac is not None]
    if not known:
        return Sentence("figure.funding_missing")
    row = known[_lead([r.asset for r in known])]
    values: dict[str, Value] = {
        "asset": row.asset,
        "median_funding_8h_frac": row.median_funding_8h_frac,
        "median_funding_annualised_frac": row.median_funding_annualised_frac,
    }
    return Sentence("figure.funding", values)


def _critical_figure(stress: Stress) -> Sentence:
    asset, settings = _critical_settings(stress)
    if not settings:
        return Sentence("figure.critical_missing")
    found = [s.critical for s in settings if s.critical]
    softs = sorted(c.sim_soft_shock_frac for c in found if c.sim_soft_shock_frac is not None)
    survivals = [s.depth_survival_frac for s in settings]
    values: dict[str, Value] = {
        "asset": asset,
        "settings_count": len(settings),
        "low_survival_x": min(survivals),
        "high_survival_x": max(survivals),
        "grid_max_shock_frac": max(c.grid_max_shock_frac for c in found),
    }
    if not softs:
        return Sentence("figure.critical_censored", values)
    # One setting's number alone would hide that the others disagree: the figure is the range over settings.
    values["low_soft_shock_frac"] = softs[0]
    if len(softs) < len(found):
        return Sentence("figure.critical_open", values)
    if softs[0] == softs[-1]:
        return Sentence("figure.critical", values)
    return Sentence("figure.critical_range", values | {"high_soft_shock_frac": softs[-1]})


def _etf_figure(etf: EtfFlows) -> Sentence:
    if not etf.rows:
        return Sentence("figure.etf_missing")
    row = etf.rows[_lead([r.asset for r in etf.rows])]
    values: dict[str, Value] = {
        "asset": row.asset,
        "net_flow_usd": row.net_flow_usd,
        "flow_date_utc": row.flow_date_utc,
        "net_flow_5d_usd": row.net_flow_5d_usd,
    }
    return Sentence("figure.etf", values)


# --- sentences ---------------------------------------------------------------------------------------------------------


def _move(prices: Prices) -> Sentence:
    moved = [row for row in prices.rows if row.return_frac is not None]
    if not moved:
        return Sentence("say.move_missing", condition=_reasons(prices.origin))
    most = max(moved, key=lambda row: (abs(row.return_frac or 0.0), row.asset))
    condition: dict[str, Value] = {
        "reference_venue": most.reference_venue,
        "hours_count": most.hours_count,
        "assets_count": len(moved),
        "breadth_frac": prices.breadth_frac,
    }
    values: dict[str, Value] = {
        "asset": most.asset,
        "return_frac": most.return_frac,
        "close_quote": most.close_quote,
        "drawdown_frac": most.drawdown_frac,
    }
    key = "cond.move" if most.is_closed else "cond.move_open"
    return Sentence("say.move", values, condition=Sentence(key, condition))


def _changes(total: OpenInterestTotal) -> dict[str, Value]:
    return {"asset": total.asset, "usd_change_frac": total.usd.change_frac, "base_change_frac": total.base.change_frac}


def _open_interest(section: OpenInterest) -> Sentence:
    known = [t for t in section.totals if t.usd.change_frac is not None or t.base.change_frac is not None]
    if not known:
        return Sentence("say.open_interest_missing", condition=_reasons(section.origin))
    items = _at_most([Sentence("say.open_interest.item", _changes(t)) for t in known])
    condition: dict[str, Value] = {
        "venues": tuple(sorted({venue for t in known for venue in t.venues})),
        "instruments_count": sum(max(t.usd_instruments_count, t.base_instruments_count) for t in known),
        "all_instruments_count": sum(t.instruments_count for t in section.totals),
    }
    key = "cond.open_interest_derived" if any(t.is_derived for t in known) else "cond.open_interest"
    return Sentence("say.open_interest", {}, items, Sentence(key, condition))


def _funding(funding: Funding) -> Sentence:
    known = [(row.median_funding_8h_frac, row) for row in funding.rows if row.median_funding_8h_frac is not None]
    if not known:
        return Sentence("say.funding_missing", condition=_reasons(funding.origin))
    lowest = min(known, key=lambda pair: (pair[0], pair[1].asset))[1]
    highest = max(known, key=lambda pair: (pair[0], pair[1].asset))[1]
    lead: FundingRow = known[_lead([row.asset for _, row in known])][1]
    values: dict[str, Value] = {
        "low_asset": lowest.asset,
        "low_funding_8h_frac": lowest.median_funding_8h_frac,
        "high_asset": highest.asset,
        "high_funding_8h_frac": highest.median_funding_8h_frac,
        "asset": lead.asset,
        "median_funding_8h_frac": lead.median_funding_8h_frac,
        "previous_median_funding_8h_frac": lead.previous_median_funding_8h_frac,
    }
    condition: dict[str, Value] = {
        "asset": lead.asset,
        "venues_count": lead.venues_count,
        "weighted_venues_count": lead.weighted_venues_count,
        "funding_z_x": lead.funding_z_x,
    }
    return Sentence("say.funding", values, condition=Sentence("cond.funding", condition))


def _critical_settings(stress: Stress) -> tuple[str, list[StressSetting]]:
    """Return the leading asset and its settings on the long side that have a critical shock."""
    found = {
        asset.asset: [s for s in side.settings if s.critical]
        for asset in stress.assets
        for side in asset.sides
        if side.position_side == "long"
    }
    found = {asset: settings for asset, settings in found.items() if settings}
    if not found:
        return "", []
    names = list(found)
    lead = names[_lead(names)]
    return lead, found[lead]


def _soft(setting: StressSetting) -> tuple[str, dict[str, Value]]:
    """Return the key's suffix and the values: a censored shock has no number, only the end of the grid."""
    critical = setting.critical
    if critical is None:
        raise ValueError(f"setting {setting.setting} has no critical shock")
    values: dict[str, Value] = {
        "shock_kind": setting.shock_kind,
        "depth_survival_frac": setting.depth_survival_frac,
        "grid_max_shock_frac": critical.grid_max_shock_frac,
    }
    if critical.is_soft_censored or critical.sim_soft_shock_frac is None:
        return "_censored", values
    return "", values | {"sim_soft_shock_frac": critical.sim_soft_shock_frac}


def _critical(stress: Stress) -> Sentence:
    asset, settings = _critical_settings(stress)
    if not settings:
        return Sentence("say.critical_missing", condition=_reasons(stress.origin))
    items = []
    for setting in settings:
        suffix, values = _soft(setting)
        items.append(Sentence(f"say.critical.item{suffix}", values))
    condition: dict[str, Value] = {
        "pass_through_x": stress.pass_through_x,
        "fuel_origin": stress.fuel_origins,
        "fuel_prior": stress.fuel_priors,
        "depth_origin": stress.depth_origins,
    }
    if not stress.depth_priors:
        return Sentence(
            "say.critical", {"asset": asset}, _at_most(items), Sentence("cond.critical_measured", condition)
        )
    condition["depth_prior"] = stress.depth_priors
    return Sentence("say.critical", {"asset": asset}, _at_most(items), Sentence("cond.critical", condition))


def _lending(lending: Lending) -> tuple[Sentence, ...]:
    """Return one sentence: calls of the day, else the fuel of the leading asset, else none; the section says what is missing."""
    if lending.calls:
        values: dict[str, Value] = {"calls_count": sum(row.calls_count for row in lending.calls)}
        condition: dict[str, Value] = {
            "venues": tuple(sorted({row.venue for row in lending.calls})),
            "valued_calls_count": sum(row.valued_calls_count for row in lending.calls),
            "verified_calls_count": sum(row.verified_calls_count for row in lending.calls),
        }
        seized = [r.est_collateral_seized_usd for r in lending.calls if r.est_collateral_seized_usd is not None]
        if not seized:
            return (Sentence("say.lending_unvalued", values, condition=Sentence("cond.lending", condition)),)
        values["est_collateral_seized_usd"] = sum(seized, Decimal(0))
        return (Sentence("say.lending", values, condition=Sentence("cond.lending", condition)),)
    burning = sorted((row for row in lending.fuel if row.fuel_30_usd), key=lambda row: (-row.fuel_30_usd, row.venue))
    if not burning:
        return ()
    fuel = burning[_lead([row.asset for row in burning])]
    values = {name: getattr(fuel, name) for name in ("asset", "venue", "fuel_10_usd", "fuel_30_usd")}
    condition = {name: getattr(fuel, name) for name in ("fuel_date_utc", "left_out_accounts_count")}
    return (Sentence("say.lending_fuel", values, condition=Sentence("cond.lending_fuel", condition)),)


def _etf(etf: EtfFlows) -> Sentence:
    if not etf.rows:
        return Sentence("say.etf_missing", condition=_reasons(etf.origin))
    items = _at_most(
        [
            Sentence(
                "say.etf.item" if row.is_of_the_day else "say.etf.item_late",
                {"asset": row.asset, "net_flow_usd": row.net_flow_usd, "flow_date_utc": row.flow_date_utc},
            )
            for row in etf.rows
        ]
    )
    condition = Sentence("cond.etf", {"latest_date_utc": etf.origin.latest_date_utc})
    return Sentence("say.etf", {}, items, condition)


def _coverage(coverage: Coverage) -> Sentence:
    if not coverage.rows:
        return Sentence("say.coverage_missing")
    count = coverage.statuses_count.get
    values: dict[str, Value] = {
        "complete_count": count("complete", 0),
        "partial_count": count("partial", 0),
        "missing_count": count("missing", 0),
        "pairs_count": len(coverage.rows),
    }
    quarantined = sum(row.quarantined_rows_count for row in coverage.quarantined)
    return Sentence(
        "say.coverage", values, condition=Sentence("cond.coverage", {"quarantined_rows_count": quarantined})
    )


def _at_most(items: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """Return at most `MAX_ITEMS` parts; how many were left out is said and not silently dropped."""
    if len(items) <= MAX_ITEMS:
        return tuple(items)
    return (*items[:MAX_ITEMS], Sentence("say.more", {"left_out_count": len(items) - MAX_ITEMS}))


def _reasons(origin: Origin) -> Sentence:
    if not origin.missing_reasons:
        return Sentence("cond.no_reason")
    return Sentence("cond.reasons", {"missing_reason": origin.missing_reasons})
