"""Words of flows, macro and sentiment."""

WORDS: dict[str, str] = {
    "fund": "Fund ticker, or TOTAL for the sum over funds.",
    "flow_date_utc": "Trading day of the flow (US calendar).",
    "net_flow_usd": "Net creation (+) or redemption (-) of the day.",
    "cumulative_net_flow_usd": "Sum of net_flow_usd from the first record to this day.",
    "net_flow_5d_usd": "Sum of net_flow_usd over the last five records.",
    "streak_count": "Length of the run of days with this day's sign; negative for a run of outflows; 0 for a zero day.",
    "series_id": "Series as its publisher names it, for example DGS10.",
    "series_name": "Name of the series for people.",
    "observation_date_utc": "Day or period start that the figure is about.",
    "vintage_date_utc": "Day on which the figure was known to us: the vintage where the source gives one, else the capture day.",
    "vintage_origin": "published (the source gave the vintage) or captured (only our capture day is known: not what was known at the time).",
    "value_native": "The figure.",
    "previous_value_native": "The series' previous figure of the same vintage.",
    "change_native": "value_native - previous_value_native.",
    "sentiment_date_utc": "Day of the sentiment figure.",
    "index_name": "Name of the sentiment index.",
    "sentiment_index": "Points of the index, 0 (extreme fear) to 100 (extreme greed).",
    "sentiment_change_7d_index": "sentiment_index minus its value seven days before.",
    "sentiment_class": "extreme_fear (<25), fear (<46), neutral (<55), greed (<76) or extreme_greed.",
}
