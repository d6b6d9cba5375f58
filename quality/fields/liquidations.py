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
    "completeness_class": "full (the source shows every liquidation), sampled (it leaves some out: sums are lower bounds) or unknown.",
}
