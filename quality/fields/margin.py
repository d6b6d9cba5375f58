"""Words of the venues' margin rules: leverage tiers and since when they hold."""

WORDS: dict[str, str] = {
    "observed_at_utc": "When the venue showed what the row says; the first instant of the day or month where only a file's name tells.",
    "tier_rank": "Place of the tier in the instrument's ladder, 1 = smallest positions.",
    "tiers_count": "Tiers in the instrument's whole ladder as the source gave it; fewer rows than that are no ladder.",
    "notional_floor_settle": "Position notional above which the tier holds; the cap of the tier below, 0 in the first.",
    "notional_cap_settle": "Largest position notional of the tier. Binance writes 2^63 - 1 where there is no cap.",
    "maintenance_margin_rate_frac": "Maintenance margin is this rate x position notional - maintenance_amount_settle.",
    "maintenance_amount_settle": "Deduction that keeps the maintenance margin continuous from tier to tier (Binance's cum); missing where the source tells none.",
    "max_leverage_x": "Largest leverage that the venue allows in the tier.",
    "valid_from_utc": "First observation of the tier with these figures; it may have been in force earlier.",
    "valid_to_utc": "First later observation of the instrument that no longer shows them; missing while none does.",
    "last_observed_at_utc": "Last observation that shows the tier with these figures.",
}
