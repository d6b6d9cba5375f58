"""Words of accounts whose positions a venue shows: whose, how large, where they are liquidated."""

WORDS: dict[str, str] = {
    "account_address": "Address of the account on the venue's chain, in lower case.",
    "position_base": "Size of the open position in base units, above 0 on either side.",
    "entry_quote": "Mean price at which the position was opened, as the venue tells it.",
    "liquidation_quote": "Price at which the venue would liquidate the position as its account stands; missing where it tells none.",
    "margin_mode": "cross (the account's whole value stands behind the position) or isolated.",
    "margin_settle": "Margin that the position uses, in the settle asset.",
    "leverage_x": "Leverage that the account has set for the contract.",
    "account_value_settle": "Value of the whole account in the settle asset, open profit and loss included.",
    "position_date_utc": "UTC day on which the position was seen.",
}
