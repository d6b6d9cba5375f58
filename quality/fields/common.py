"""Words that several domains share: identity, origin, clocks."""

WORDS: dict[str, str] = {
    "asset": "Base asset in upper case, for example BTC.",
    "asset_name": "Name of the asset for people.",
    "venue": "Venue in lower case letters, digits and underscores, for example binance.",
    "venue_name": "Name of the venue for people.",
    "venue_symbol": "The contract's name as the venue writes it, for example BTCUSDT or BTC-USDT-SWAP.",
    "instrument_id": "venue:venue_symbol:listing day; the listing day is the day first seen where the venue tells none.",
    "source": "Where the record came from: ccxt, or the name of an import mapping.",
    "payload_sha256": "SHA-256 of the bytes the record was parsed from: a response body, or the whole imported file.",
    "ingested_at_utc": "Our clock when the record was committed to the raw lake.",
    "occurred_at_utc": "The venue's clock for the event, unrounded.",
    "interval_start_utc": "Start of the interval, inclusive.",
    "interval_end_utc": "End of the interval, exclusive.",
    "position_side": "Side of the position: long or short; of a liquidation also unknown, where the source tells none. A liquidated long is a sell order.",
    "is_closed": "True once the interval or day had ended when it was captured.",
    "is_synthetic": "True where the record comes from the sandbox and not from a market.",
    "unit": "Unit of the row's `_native` figures.",
    "dataset": "Raw dataset, for example candles.",
    "venues_count": "Venues that contribute to the row.",
    "reason": "Reason code in snake_case.",
}
