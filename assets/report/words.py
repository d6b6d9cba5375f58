"""The words of the report, key -> language -> text: everything a reader sees that is not a number or a name.

Belongs here: titles, column heads, sentences with `{named}` places, notes on how to read. Does not: words of lending, flows and
macro (``words_flows.py``), how a figure is shown (``shown.py``). Both languages have every key and the same places in it; a test holds them together.
Chinese follows the words of the field: 持仓量, 资金费率, 强平, 穿仓, 名义价值.
"""

from __future__ import annotations

from assets.report.words_flows import FLOWS

LANGUAGES = ("en", "zh")


def _w(en: str, zh: str) -> dict[str, str]:
    return {"en": en, "zh": zh}


_FRAME = {
    "lang.other": _w("中文", "English"),
    "title": _w("Lowtide daily stress report", "Lowtide 每日压力报告"),
    "subtitle": _w("State of the UTC day", "UTC 日状态"),
    "contents": _w("Contents", "目录"),
    "json": _w("Numbers as JSON", "JSON 数据"),
    "missing": _w("missing", "缺失"),
    "none": _w("none", "无"),
    "yes": _w("yes", "是"),
    "no": _w("no", "否"),
    "list.comma": _w(", ", "、"),
    "list.items": _w("; ", "；"),
    "from": _w("From", "来源"),
    "latest": _w("latest record {latest_date_utc}", "最新记录 {latest_date_utc}"),
    "no_latest": _w("no record on or before this day", "当日及之前无记录"),
    "section.missing": _w("Missing: no record of {report_date_utc}.", "缺失：{report_date_utc} 无记录。"),
    "section.missing_any": _w(
        "Missing: no record on or before {report_date_utc}.", "缺失：{report_date_utc} 及之前无记录。"
    ),
    "section.reasons": _w("Coverage says: {missing_reason}.", "覆盖表给出的原因：{missing_reason}。"),
    "badge.synthetic": _w("synthetic input", "合成数据"),
    "badge.estimated": _w("estimated", "含估算"),
    "badge.derived": _w("derived", "推导值"),
    "badge.open": _w("day not over", "当日未结束"),
    "badge.exhausted": _w("book exhausted", "盘口耗尽"),
    "banner.all": _w(
        "SYNTHETIC: every record behind this report comes from the sandbox and not from a market.",
        "合成数据：本报告的全部记录来自沙盒，并非真实市场。",
    ),
    "banner.some": _w(
        "SYNTHETIC IN PART: some records behind this report come from the sandbox and not from a market; sections that use them say so.",
        "部分合成数据：本报告的部分记录来自沙盒，并非真实市场；相关章节已标注。",
    ),
    "advice": _w(
        "This report states conditions and their limits. It advises nobody and predicts no date.",
        "本报告陈述条件及其局限，不构成任何投资建议，也不预测时点。",
    ),
    "chart.left_out": _w("{left_out_count} more in the table, not drawn.", "另有 {left_out_count} 条未绘出，见表格。"),
    "chart.up_to": _w("up to", "最高"),
    "chart.low": _w("low", "最低"),
    "chart.high": _w("high", "最高"),
    "chart.about": _w("{asset}: ", "{asset}："),
    "chart.gaps": _w("A break in a line is a missing record.", "线条中断处为缺失记录。"),
    "scroll": _w("Table, scrolls sideways", "表格，可横向滚动"),
}

_HEADLINE = {
    "section.headline": _w("What changed", "今日要点"),
    "figure.price.label": _w("{asset} close", "{asset} 收盘价"),
    "figure.price.value": _w("{close_quote}", "{close_quote}"),
    "figure.price.note": _w("{return_frac} on the day", "日涨跌 {return_frac}"),
    "figure.price_missing.label": _w("Prices", "价格"),
    "figure.open_interest.label": _w("{asset} open interest", "{asset} 持仓量"),
    "figure.open_interest.value": _w("{end_usd} USD", "{end_usd}美元"),
    "figure.open_interest.note": _w(
        "{usd_change_frac} in USD, {base_change_frac} in coin", "按美元 {usd_change_frac}，按币 {base_change_frac}"
    ),
    "figure.open_interest_missing.label": _w("Open interest", "持仓量"),
    "figure.funding.label": _w("{asset} funding, 8 h median", "{asset} 资金费率（8 小时中位数）"),
    "figure.funding.value": _w("{median_funding_8h_frac}", "{median_funding_8h_frac}"),
    "figure.funding.note": _w("{median_funding_annualised_frac} a year", "年化 {median_funding_annualised_frac}"),
    "figure.funding_missing.label": _w("Funding", "资金费率"),
    "figure.critical.label": _w("{asset} soft critical shock, down", "{asset} 下行软临界冲击"),
    "figure.critical.value": _w("{low_soft_shock_frac}", "{low_soft_shock_frac}"),
    "figure.critical.note": _w(
        "over {settings_count} settings, W {low_survival_x} to {high_survival_x}",
        "{settings_count} 种设定，W {low_survival_x} 至 {high_survival_x}",
    ),
    "figure.critical_range.label": _w("{asset} soft critical shock, down", "{asset} 下行软临界冲击"),
    "figure.critical_range.value": _w(
        "{low_soft_shock_frac} to {high_soft_shock_frac}", "{low_soft_shock_frac} 至 {high_soft_shock_frac}"
    ),
    "figure.critical_range.note": _w(
        "over {settings_count} settings, W {low_survival_x} to {high_survival_x}",
        "{settings_count} 种设定，W {low_survival_x} 至 {high_survival_x}",
    ),
    "figure.critical_open.label": _w("{asset} soft critical shock, down", "{asset} 下行软临界冲击"),
    "figure.critical_open.value": _w("{low_soft_shock_frac} to none", "{low_soft_shock_frac} 至无"),
    "figure.critical_open.note": _w(
        "none up to {grid_max_shock_frac} in some of {settings_count} settings, W {low_survival_x} to {high_survival_x}",
        "{settings_count} 种设定中部分在 {grid_max_shock_frac} 以内无，W {low_survival_x} 至 {high_survival_x}",
    ),
    "figure.critical_censored.label": _w("{asset} soft critical shock, down", "{asset} 下行软临界冲击"),
    "figure.critical_censored.value": _w("none up to {grid_max_shock_frac}", "{grid_max_shock_frac} 以内无"),
    "figure.critical_censored.note": _w(
        "over {settings_count} settings, W {low_survival_x} to {high_survival_x}",
        "{settings_count} 种设定，W {low_survival_x} 至 {high_survival_x}",
    ),
    "figure.critical_missing.label": _w("Critical shock", "临界冲击"),
    "figure.etf.label": _w("{asset} spot ETF flow", "{asset} 现货 ETF 净流量"),
    "figure.etf.value": _w("{net_flow_usd} USD", "{net_flow_usd}美元"),
    "figure.etf.note": _w(
        "of {flow_date_utc}; {net_flow_5d_usd} USD over five records", "{flow_date_utc}；近五条 {net_flow_5d_usd}美元"
    ),
    "figure.etf_missing.label": _w("Spot ETF flow", "现货 ETF 净流量"),
    "figure.no_record": _w("no record", "无记录"),
    "say.move": _w(
        "{asset} moved most: {return_frac} to {close_quote}, with a fall of {drawdown_frac} inside the day.",
        "{asset} 波动最大：{return_frac}，收于 {close_quote}，日内最大回撤 {drawdown_frac}。",
    ),
    "cond.move": _w(
        "Reference venue {reference_venue}, {hours_count} of 24 hours; {assets_count} assets have a return, {breadth_frac} of them negative.",
        "参考交易所 {reference_venue}，24 小时中有 {hours_count} 小时；{assets_count} 个资产有涨跌数据，其中下跌占 {breadth_frac}。",
    ),
    "cond.move_open": _w(
        "The day was not over when captured. Reference venue {reference_venue}, {hours_count} of 24 hours; {assets_count} assets have a return, {breadth_frac} of them negative.",
        "采集时当日尚未结束。参考交易所 {reference_venue}，24 小时中有 {hours_count} 小时；{assets_count} 个资产有涨跌数据，其中下跌占 {breadth_frac}。",
    ),
    "say.move_missing": _w("Prices: missing, no record of the day.", "价格：缺失，当日无记录。"),
    "say.open_interest": _w(
        "One-sided open interest from the day's first to its last observation: {items}.",
        "单边持仓量（当日首个至末个观测）：{items}。",
    ),
    "say.open_interest.item": _w(
        "{asset} {usd_change_frac} in USD and {base_change_frac} in coin",
        "{asset} 按美元 {usd_change_frac}、按币 {base_change_frac}",
    ),
    "say.more": _w("{left_out_count} more in the table", "另有 {left_out_count} 个见表格"),
    "cond.open_interest": _w(
        "Sum over {instruments_count} of {all_instruments_count} instruments, those seen at both ends, on {venues}.",
        "对首尾均有观测的合约求和（{all_instruments_count} 个中的 {instruments_count} 个），交易所：{venues}。",
    ),
    "cond.open_interest_derived": _w(
        "Sum over {instruments_count} of {all_instruments_count} instruments, those seen at both ends, on {venues}; one of the two units is derived through the reference price.",
        "对首尾均有观测的合约求和（{all_instruments_count} 个中的 {instruments_count} 个），交易所：{venues}；两种单位之一由参考价格推导。",
    ),
    "say.open_interest_missing": _w("Open interest: missing, no change can be told.", "持仓量：缺失，无法给出变化。"),
    "say.funding": _w(
        "Median 8-hour funding lies between {low_funding_8h_frac} ({low_asset}) and {high_funding_8h_frac} ({high_asset}); {asset} is at {median_funding_8h_frac}, the day before {previous_median_funding_8h_frac}.",
        "8 小时资金费率中位数介于 {low_funding_8h_frac}（{low_asset}）与 {high_funding_8h_frac}（{high_asset}）之间；{asset} 为 {median_funding_8h_frac}，前一日 {previous_median_funding_8h_frac}。",
    ),
    "cond.funding": _w(
        "{asset}: rates of {venues_count} venue(s), open interest of {weighted_venues_count}; z-score against the previous 30 days {funding_z_x}. Positive: longs pay shorts.",
        "{asset}：{venues_count} 家交易所有费率，其中 {weighted_venues_count} 家有持仓量；相对前 30 日的 z 值 {funding_z_x}。正值表示多头付费给空头。",
    ),
    "say.funding_missing": _w("Funding: missing, no rate of the day.", "资金费率：缺失，当日无费率。"),
    "say.critical": _w(
        "{asset}, price pushed down, smallest shock that feeds itself: {items}.",
        "{asset} 价格下压，能自我放大的最小冲击：{items}。",
    ),
    "say.critical.item": _w(
        "{sim_soft_shock_frac} ({shock_kind}, W = {depth_survival_frac})",
        "{sim_soft_shock_frac}（{shock_kind}，W = {depth_survival_frac}）",
    ),
    "say.critical.item_censored": _w(
        "none up to {grid_max_shock_frac} ({shock_kind}, W = {depth_survival_frac})",
        "{grid_max_shock_frac} 以内无（{shock_kind}，W = {depth_survival_frac}）",
    ),
    "cond.critical": _w(
        "Assumes that the mark follows the book with pass-through {pass_through_x}. Fuel {fuel_origin} ({fuel_prior}), depth {depth_origin} ({depth_prior}). The spread between settings is the message, not one number.",
        "假设标记价格以传导系数 {pass_through_x} 跟随盘口。燃料：{fuel_origin}（{fuel_prior}）；深度：{depth_origin}（{depth_prior}）。应看各设定之间的区间，而非单一数字。",
    ),
    "cond.critical_measured": _w(
        "Assumes that the mark follows the book with pass-through {pass_through_x}. Fuel {fuel_origin} ({fuel_prior}), depth {depth_origin}. The spread between settings is the message, not one number.",
        "假设标记价格以传导系数 {pass_through_x} 跟随盘口。燃料：{fuel_origin}（{fuel_prior}）；深度：{depth_origin}。应看各设定之间的区间，而非单一数字。",
    ),
    "say.critical_missing": _w("Critical shock: missing, no replay of the day.", "临界冲击：缺失，当日无回放。"),
    "say.etf": _w("Spot ETF net flow: {items}.", "现货 ETF 净流量：{items}。"),
    "say.etf.item": _w("{asset} {net_flow_usd} USD", "{asset} {net_flow_usd}美元"),
    "say.etf.item_late": _w(
        "{asset} has no record of the day, the latest is {net_flow_usd} USD of {flow_date_utc}",
        "{asset} 当日无记录，最新为 {flow_date_utc} 的 {net_flow_usd}美元",
    ),
    "cond.etf": _w("Latest known trading day {latest_date_utc}.", "最新已知交易日 {latest_date_utc}。"),
    "say.etf_missing": _w("Spot ETF flows: missing, no record.", "现货 ETF 资金流：缺失，无记录。"),
    "say.coverage": _w(
        "{complete_count} of {pairs_count} dataset and venue pairs are complete, {partial_count} partial, {missing_count} missing.",
        "{pairs_count} 个数据集与来源组合中，{complete_count} 个完整，{partial_count} 个部分，{missing_count} 个缺失。",
    ),
    "cond.coverage": _w(
        "{quarantined_rows_count} rows refused under the day's key.", "当日键下拒收 {quarantined_rows_count} 行。"
    ),
    "say.coverage_missing": _w(
        "Coverage: missing, so nothing can be said about completeness.", "数据覆盖：缺失，完整性无从判断。"
    ),
    "cond.reasons": _w("Coverage says: {missing_reason}.", "覆盖表给出的原因：{missing_reason}。"),
    "cond.no_reason": _w("No record.", "无记录。"),
}

_MARKET = {
    "section.prices": _w("Prices and beta", "价格与贝塔"),
    "read.prices": _w(
        "One row per asset, largest traded value first. Fall is the deepest drop from a running hourly high; wick is the lower wick of the daily candle; retrace is the share of the fall from the open that the close took back, missing where the price never fell. Downside beta is missing below 100 hours of falling BTC, the volume z-score below 10 days. Volume is an approximation: quantity times typical price.",
        "每个资产一行，按成交额从大到小排列。回撤为日内自小时高点的最大跌幅；下影线取自日线；收复比例为收盘价收回的自开盘跌幅的份额，价格未跌则缺失。下行贝塔需至少 100 个 BTC 下跌小时，成交额 z 值需至少 10 日，否则缺失。成交额为近似值：数量乘以典型价格。",
    ),
    "chart.prices": _w("Hourly closes, eight days, first hour = 100", "小时收盘价，八日，首小时 = 100"),
    "col.asset": _w("Asset", "资产"),
    "col.close_quote": _w("Close", "收盘价"),
    "col.return_frac": _w("Return", "涨跌幅"),
    "col.range_frac": _w("Range", "振幅"),
    "col.drawdown_frac": _w("Fall in the day", "日内回撤"),
    "col.drawdown_30d_frac": _w("Below 30-day high", "距 30 日高点"),
    "col.wick_frac": _w("Wick", "下影线"),
    "col.retrace_frac": _w("Retrace", "收复比例"),
    "col.downside_beta_x": _w("Downside beta", "下行贝塔"),
    "col.volume_usd": _w("Volume, USD", "成交额（美元）"),
    "col.volume_z_x": _w("Volume z", "成交额 z 值"),
    "col.hours_count": _w("Hours", "小时数"),
    "note.breadth": _w("{breadth_frac} of assets fell on the day.", "当日下跌资产占 {breadth_frac}。"),
    "section.funding": _w("Funding", "资金费率"),
    "read.funding": _w(
        "Rates are normalised to eight hours. Weighted: by one-sided open interest of the venues that have both; median: over venues. Annualised is the rate times 1,095, not compounded. Positive: longs pay shorts. Spread and z-score are missing with one venue or below 10 days.",
        "费率统一换算为 8 小时。加权：以同时有费率与持仓量的交易所的单边持仓量为权重；中位数：跨交易所。年化为费率乘以 1,095，不计复利。正值表示多头付费给空头。仅一家交易所或历史不足 10 日时，离散度与 z 值缺失。",
    ),
    "chart.funding": _w("Median 8-hour funding, 30 days, %", "8 小时资金费率中位数，30 日，%"),
    "col.oi_weighted_funding_8h_frac": _w("Weighted, 8 h", "加权（8 小时）"),
    "col.oi_weighted_funding_annualised_frac": _w("Weighted, a year", "加权（年化）"),
    "col.median_funding_8h_frac": _w("Median, 8 h", "中位数（8 小时）"),
    "col.median_funding_annualised_frac": _w("Median, a year", "中位数（年化）"),
    "col.previous_median_funding_8h_frac": _w("Median, day before", "中位数（前一日）"),
    "col.min_funding_8h_frac": _w("Lowest venue", "最低交易所"),
    "col.max_funding_8h_frac": _w("Highest venue", "最高交易所"),
    "col.funding_dispersion_bps": _w("Spread, bps", "离散度（基点）"),
    "col.funding_z_x": _w("z", "z 值"),
    "col.venues_count": _w("Venues", "交易所数"),
    "section.open_interest": _w("Open interest", "持仓量"),
    "read.open_interest": _w(
        "One-sided: each contract counted once. Start and end are the day's first and last observation, the low is the lowest of them. A total sums the instruments seen at both ends; the others are counted beside it. Derived: the source gave one unit, the other came through the reference price of the moment.",
        "单边口径：每张合约只计一次。起点与终点为当日首个与末个观测，低点为其中最低。合计只对首尾均有观测的合约求和，其余单列数量。推导值：来源只给出一种单位，另一种由当时参考价格换算。",
    ),
    "table.totals": _w("By asset", "按资产"),
    "table.instruments": _w("By venue and contract", "按交易所与合约"),
    "chart.open_interest_base": _w(
        "Open interest in coin, three days, first hour = 100", "持仓量（按币），三日，首小时 = 100"
    ),
    "chart.open_interest_usd": _w(
        "Open interest in USD, three days, first hour = 100", "持仓量（按美元），三日，首小时 = 100"
    ),
    "col.venue": _w("Venue", "交易所"),
    "col.venues": _w("Venues", "交易所"),
    "col.venue_symbol": _w("Contract", "合约"),
    "col.start": _w("Start", "起点"),
    "col.low": _w("Low", "低点"),
    "col.end": _w("End", "终点"),
    "col.change": _w("Change", "变化"),
    "col.change_frac": _w("Change, %", "变化（%）"),
    "col.observed": _w("Observed", "观测时段"),
    "col.instruments": _w("Contracts", "合约数"),
    "col.origin": _w("Origin", "口径"),
    "group.usd": _w("USD", "美元"),
    "group.base": _w("Coin", "币"),
    "note.instruments": _w("{used_count} of {all_count}", "{all_count} 中的 {used_count}"),
}

_STRESS = {
    "section.stress": _w("Stress replay", "压力回放"),
    "read.stress": _w(
        "A shock reaches the first leveraged positions, their collateral is sold into the book, the price moves on, the next positions are reached. The table says where that ends. It is conditional: what would follow if the price were pushed this far, never that it will be.",
        "冲击触及首批杠杆头寸，其抵押品在盘口被强平卖出，价格继续移动，触及下一批头寸。下表给出其终点。结果是有条件的：若价格被推至此处将会怎样，而非预测其必然发生。",
    ),
    "stress.assumption": _w(
        "Assumption behind every number: the mark follows the book with pass-through {pass_through_x}.",
        "所有数字的前提假设：标记价格以传导系数 {pass_through_x} 跟随盘口。",
    ),
    "stress.fuel": _w("Fuel: {fuel_origin}, prior {fuel_prior}.", "燃料：{fuel_origin}，先验 {fuel_prior}。"),
    "stress.fuel_no_prior": _w("Fuel: {fuel_origin}.", "燃料：{fuel_origin}。"),
    "stress.depth": _w("Depth: {depth_origin}, prior {depth_prior}.", "深度：{depth_origin}，先验 {depth_prior}。"),
    "stress.depth_no_prior": _w("Depth: {depth_origin}.", "深度：{depth_origin}。"),
    "stress.estimated": _w(
        "Estimated fuel ranks days and sides; level, trough and critical shock are not identified by it. A prior is a stated assumption and not a fit.",
        "估算燃料可用于对日期与方向排序，但不能识别水平、终点与临界冲击。先验是明示的假设，并非拟合结果。",
    ),
    "stress.settings": _w(
        "W is the share of depth still there; W = 1 always stands beside the thinner book. Sale: the shock itself ate the book. News: quotes moved and the book hangs from the new price.",
        "W 为深度存留率；W = 1 始终与变薄的盘口并列。抛售：冲击本身吃掉盘口。消息：报价移动，盘口挂在新价格上。",
    ),
    "stress.draws": _w(
        "Ranges in small type in the next two tables: 5 to 95 % of {draws_count} draws over leverage, entries and depth ({draw_law}); W = 0.294 is a median and drawn too. They bound what was varied and no more. None in: share of draws without a critical shock up to the end of the search.",
        "下两表中的小字区间：对杠杆、开仓价与深度的 {draws_count} 次抽样（{draw_law}）的 5% 至 95% 区间；W = 0.294 为中位数，亦被抽样。它只覆盖被抽样的因素。“无”后的比例：搜索范围内没有临界冲击的抽样占比。",
    ),
    "stress.range_move": _w("{sim_move_p05_frac} to {sim_move_p95_frac}", "{sim_move_p05_frac} 至 {sim_move_p95_frac}"),
    "stress.range_forced": _w(
        "{sim_forced_notional_p05_usd} to {sim_forced_notional_p95_usd}",
        "{sim_forced_notional_p05_usd} 至 {sim_forced_notional_p95_usd}",
    ),
    "stress.range_soft": _w(
        "{sim_soft_shock_p05_frac} to {sim_soft_shock_p95_frac}",
        "{sim_soft_shock_p05_frac} 至 {sim_soft_shock_p95_frac}",
    ),
    "stress.range_soft_open": _w(
        "from {sim_soft_shock_p05_frac}; none in {sim_soft_censored_frac}",
        "自 {sim_soft_shock_p05_frac} 起；{sim_soft_censored_frac} 的抽样中无",
    ),
    "stress.range_soft_none": _w("none in {sim_soft_censored_frac}", "{sim_soft_censored_frac} 的抽样中无"),
    "stress.range_jump": _w(
        "{sim_jump_shock_p05_frac} to {sim_jump_shock_p95_frac}",
        "{sim_jump_shock_p05_frac} 至 {sim_jump_shock_p95_frac}",
    ),
    "stress.range_jump_open": _w(
        "from {sim_jump_shock_p05_frac}; none in {sim_jump_censored_frac}",
        "自 {sim_jump_shock_p05_frac} 起；{sim_jump_censored_frac} 的抽样中无",
    ),
    "stress.range_jump_none": _w("none in {sim_jump_censored_frac}", "{sim_jump_censored_frac} 的抽样中无"),
    "stress.overview": _w("A push of {summary_shock_frac}: where it ends", "{summary_shock_frac} 冲击的终点"),
    "stress.critical": _w("Critical shocks", "临界冲击"),
    "stress.read_critical": _w(
        "Soft: smallest shock after which the cascade adds at least as much again. Jump: smallest shock at which the end point jumps by 1 % or more. Neither is reported below 1 %. None up to the end of the grid is censored: larger than searched, not zero. The steepest branching ratio above 1 marks a zone that feeds itself.",
        "软临界：级联追加跌幅不小于冲击本身的最小冲击。跳变临界：终点跳动不小于 1% 的最小冲击。低于 1% 的冲击不予报告。网格内未出现即为删失：大于搜索范围，而不是零。最大分支比大于 1 表示存在自我强化区间。",
    ),
    "stress.detail": _w("All shocks and settings, by asset", "全部冲击与设定，按资产"),
    "stress.detail_asset": _w(
        "{asset}: reference price {reference_price_quote}, one-sided open interest {fuel_open_interest_usd} USD",
        "{asset}：参考价格 {reference_price_quote}，单边持仓量 {fuel_open_interest_usd}美元",
    ),
    "stress.inputs": _w(
        "Fuel from {fuel_venues}: {fuel_origin} ({fuel_prior}), {fuel_weight_frac} of open interest counted as leveraged. Depth {depth_origin} ({depth_prior}).",
        "燃料来自 {fuel_venues}：{fuel_origin}（{fuel_prior}），持仓量的 {fuel_weight_frac} 计为杠杆燃料。深度：{depth_origin}（{depth_prior}）。",
    ),
    "stress.inputs_measured": _w(
        "Fuel from {fuel_venues}: {fuel_origin} ({fuel_prior}), {fuel_weight_frac} of open interest counted as leveraged. Depth {depth_origin}.",
        "燃料来自 {fuel_venues}：{fuel_origin}（{fuel_prior}），持仓量的 {fuel_weight_frac} 计为杠杆燃料。深度：{depth_origin}。",
    ),
    "stress.setting": _w("{shock_kind}, W = {depth_survival_frac}", "{shock_kind}，W = {depth_survival_frac}"),
    "stress.setting_more": _w(
        "g = {impact_exponent_x}, φ = {sold_share_frac}; {depth_100bps_usd} USD within 1 %",
        "g = {impact_exponent_x}，φ = {sold_share_frac}；1% 内 {depth_100bps_usd}美元",
    ),
    "chart.amplification": _w("{about}: amplification by shock", "{about}：各冲击下的放大倍数"),
    "chart.amplification_caption": _w(
        "Vertical, log scale: end of the cascade divided by the shock; 1 means that nothing was added. Horizontal: shock in %; left of zero the price is pushed down and longs are the fuel, right of zero up and shorts are.",
        "纵轴（对数）：级联终点除以冲击，1 表示没有放大。横轴：冲击（%）；零左侧为下压价格、多头为燃料，右侧为上推价格、空头为燃料。",
    ),
    "side.long": _w("Down (longs force-closed)", "下行（多头强平）"),
    "push.long": _w("Down · longs", "下行 · 多头"),
    "push.short": _w("Up · shorts", "上行 · 空头"),
    "side.short": _w("Up (shorts force-closed)", "上行（空头强平）"),
    "col.position_side": _w("Push", "方向"),
    "col.shock_frac": _w("Shock", "冲击"),
    "col.sim_move_frac": _w("Ends at", "终点"),
    "col.sim_trough_price_quote": _w("Ends at", "终点价格"),
    "col.sim_amplification_x": _w("Ampli\u00adfication", "放大倍数"),
    "col.sim_forced_notional_usd": _w("Forced, USD", "强平名义价值（美元）"),
    "col.sim_forced_frac": _w("Of OI", "占持仓量"),
    "col.sim_shortfall_usd": _w("Shortfall, USD", "穿仓损失（美元）"),
    "col.soft": _w("Soft", "软临界"),
    "col.jump": _w("Jump", "跳变临界"),
    "col.previous_soft": _w("Soft, day before", "软临界（前一日）"),
    "col.sim_max_branching_x": _w("Max. branching", "最大分支比"),
    "censored": _w("none up to {grid_max_shock_frac}", "{grid_max_shock_frac} 以内无"),
}

_COVERAGE = {
    "section.coverage": _w("Coverage", "数据覆盖"),
    "read.coverage": _w(
        "Rows observed of rows expected on the day, per dataset and venue. Missing is never shown as zero. An empty cell: nothing was due and nothing came.",
        "各数据集与来源当日的观测行数与应有行数。缺失绝不显示为零。空格表示当日无应有数据且无记录。",
    ),
    "table.quarantined": _w("Refused rows by reason", "按原因拒收的行"),
    "table.disagreements": _w("Where two sources disagree", "来源之间的分歧"),
    "note.no_quarantined": _w("No row was refused under the day's key.", "当日键下没有被拒收的行。"),
    "note.no_disagreements": _w("No bucket of the day came from two sources.", "当日没有由两个来源同时给出的数据点。"),
    "cell.rows": _w("{observed_rows_count} of {expected_rows_count}", "{observed_rows_count} / {expected_rows_count}"),
    "cell.refused": _w("{quarantined_rows_count} refused", "拒收 {quarantined_rows_count}"),
    "col.dataset": _w("Dataset", "数据集"),
    "col.source": _w("Source", "来源"),
    "col.sources": _w("Sources", "来源"),
    "col.reason": _w("Reason", "原因"),
    "col.quarantined_rows_count": _w("Refused rows", "拒收行数"),
    "col.compared_rows_count": _w("Compared", "比对数"),
    "col.disagreeing_rows_count": _w("Differ by more than 1 bp", "差异超过 1 基点"),
    "col.max_difference_bps": _w("Largest difference, bps", "最大差异（基点）"),
    "section.provenance": _w("Provenance", "数据来源与版本"),
    "read.provenance": _w(
        "The same input and the same code give this report byte for byte. Each table behind it lies beside it as Parquet.",
        "相同输入与相同代码将逐字节复现本报告。其背后的每张表均以 Parquet 附于旁侧。",
    ),
    "col.day": _w("Day (UTC)", "日期（UTC）"),
    "col.input_sha256": _w("SHA-256 of the raw input", "原始输入 SHA-256"),
    "col.report_schema_version": _w("Report schema", "报告结构版本"),
    "col.mart": _w("Table", "数据表"),
    "col.schema_version": _w("Schema", "结构版本"),
    "table.publishers": _w("Sources and their terms", "来源及其条款"),
    "table.marts": _w("Tables behind this report", "本报告的数据表"),
    "col.venue_kind": _w("Kind", "类别"),
    "col.terms_note": _w("Terms", "条款"),
}

_ENUMS = {
    "enum.long": _w("longs", "多头"),
    "enum.short": _w("shorts", "空头"),
    "enum.sell": _w("sale", "抛售"),
    "enum.reprice": _w("news", "消息"),
    "enum.observed": _w("observed", "观测"),
    "enum.estimated": _w("estimated", "估算"),
    "enum.measured": _w("measured", "实测"),
    "enum.prior": _w("prior", "先验"),
    "enum.venue": _w("as given", "来源给出"),
    "enum.derived": _w("derived", "推导值"),
    "enum.mixed": _w("partly derived", "部分推导"),
    "enum.known_on_day": _w("on the day", "当日已知"),
    "enum.latest_vintage": _w("latest vintage, not what was known on the day", "最新修订版，并非当日已知"),
    "enum.extreme_fear": _w("extreme fear", "极度恐惧"),
    "enum.fear": _w("fear", "恐惧"),
    "enum.neutral": _w("neutral", "中性"),
    "enum.greed": _w("greed", "贪婪"),
    "enum.extreme_greed": _w("extreme greed", "极度贪婪"),
    "enum.complete": _w("complete", "完整"),
    "enum.partial": _w("partial", "部分"),
    "enum.missing": _w("missing", "缺失"),
    "enum.unexpected": _w("unexpected", "意外"),
    "enum.not_collected": _w("not collected", "未采集"),
    "enum.before_listing": _w("before listing", "上市前"),
    "enum.quarantined": _w("quarantined", "已隔离"),
    "enum.venue_gap": _w("gap at the venue", "来源缺口"),
    "enum.unreachable": _w("unreachable", "无法连接"),
    "enum.geoblocked": _w("geoblocked", "地区限制"),
    "enum.banned": _w("banned", "被封禁"),
    "enum.rate_limited": _w("rate limited", "被限流"),
    "enum.venue_error": _w("venue error", "来源错误"),
    "enum.centralised": _w("centralised exchange", "中心化交易所"),
    "enum.on_chain": _w("on-chain venue", "链上交易所"),
    "enum.publisher": _w("publisher", "数据发布方"),
    "enum.unlisted": _w("not in the seed", "未登记"),
}

WORDS: dict[str, dict[str, str]] = {
    **_FRAME,
    **_HEADLINE,
    **_MARKET,
    **{key: _w(*texts) for key, texts in FLOWS.items()},
    **_STRESS,
    **_COVERAGE,
    **_ENUMS,
}


def word(key: str, lang: str) -> str:
    """Return a text; a key or a language that does not exist is a programming error and raises `KeyError`."""
    return WORDS[key][lang]


def enum_word(value: str, lang: str) -> str:
    """Return the word for a code of the data; a code that no word exists for is shown as it is."""
    entry = WORDS.get(f"enum.{value}")
    return entry[lang] if entry else value
