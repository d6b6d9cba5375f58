"""Words of liquidations: forced orders, how much, at which kind of price, and how much of them a source shows."""

WORDS: dict[str, str] = {
    "order_side": "Side of the forced order: sell closes a long, buy closes a short; unknown where the source tells no side.",
    "order_price_quote": "Price of the forced order as the source prints it; what it is says order_price_kind.",
    "order_price_kind": "bankruptcy (where the position's margin is gone; not what the market paid), average_fill, limit or unknown.",
    "quantity_contracts": "Liquidated contracts; missing where the source counts in base units or in USD.",
    "quantity_base": "Liquidated quantity in base units; the sum over the row's liquidations where it has several.",
    "quantity_base_origin": "source (as given) or derived (notional divided by the order's price).",
    "notional_usd": "Liquidated notional at the orders' prices; the sum over the row's liquidations where it has several, then at least this much unless completeness_class is full.",
    "largest_notional_usd": "Notional of the row's largest liquidation.",
    "liquidations_count": "Liquidations in the row.",
    "liquidation_rank": "Place among the instrument's liquidations of the same instant, by side, price and notional.",
    "stream": "Stream that was recorded, for example bybit_linear.",
    "gap_start_utc": "Last sign of life of the stream before the gap, or the start of the day.",
    "gap_end_utc": "When the subscription stood again, or the end of the day.",
    "gap_reason": "first_start, collector_stopped, collector_killed, silence, disconnected, unreachable, unanswered, refused, not_recorded (before the first start), segment_damaged or not_sealed (the day is not over for the stream).",
    "gap_s": "Seconds of the day in which the worst recorded stream of the venue was not listened to; missing where none is recorded.",
    "completeness_class": "full (the source shows every liquidation), sampled (it leaves some out: sums are lower bounds) or unknown.",
}
