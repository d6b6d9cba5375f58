"""Figures are readable, honest about missing, and names show what they hold."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.report.model import Sentence
from assets.report.shown import compact, inert, say, show

pytestmark = pytest.mark.fast

THIN = "\u202f"


@pytest.mark.parametrize(
    ("name", "value", "en", "zh"),
    [
        ("end_usd", Decimal("4430000000.1234"), f"4.43{THIN}bn", f"44.3{THIN}亿"),
        ("net_flow_usd", Decimal("-4500000"), f"−4.50{THIN}m", f"−450{THIN}万"),
        ("net_flow_usd", Decimal("2710000000"), f"+2.71{THIN}bn", f"+27.1{THIN}亿"),
        ("end_usd", Decimal("999960000"), f"1.00{THIN}bn", f"10.0{THIN}亿"),
        ("end_usd", Decimal(0), "0", "0"),
        ("end_base", Decimal("0.00000012"), "1.2e−07", "1.2e−07"),
        ("return_frac", -0.2226, f"−22.26{THIN}%", "−22.26%"),
        ("return_frac", 0.05, f"+5.00{THIN}%", "+5.00%"),
        ("return_frac", -0.0000001, f"0.00{THIN}%", "0.00%"),
        ("breadth_frac", 1.0, f"100{THIN}%", "100%"),
        ("median_funding_8h_frac", 0.0001, f"+0.0100{THIN}%", "+0.0100%"),
        ("shock_frac", 0.075, f"7.5{THIN}%", "7.5%"),
        ("grid_max_shock_frac", 0.5, f"50{THIN}%", "50%"),
        ("close_quote", Decimal("101516.50"), "101,516.5", "101,516.5"),
        ("close_quote", Decimal("0.19312"), "0.19312", "0.19312"),
        ("depth_survival_frac", 1.0, "1.00", "1.00"),
        ("depth_survival_frac", 0.294, "0.294", "0.294"),
        ("sim_amplification_x", 1.234, f"1.23{THIN}×", f"1.23{THIN}×"),
        ("hours_count", 24, "24", "24"),
        ("sentiment_index", 64.0, "64", "64"),
        ("value_native", 4.05, "4.05", "4.05"),
        ("is_closed", True, "yes", "是"),
        ("flow_date_utc", date(2025, 10, 10), "2025-10-10", "2025-10-10"),
        ("start_at_utc", datetime(2025, 10, 10, 7), "2025-10-10 07:00", "2025-10-10 07:00"),
        ("missing_reason", ("not_collected", "unheard_of"), "not collected, unheard_of", "未采集、unheard_of"),
        ("coverage_reason", "venue_gap,quarantined", "gap at the venue, quarantined", "来源缺口、已隔离"),
        ("venues", (), "none", "无"),
        ("retrace_frac", None, "missing", "缺失"),
    ],
)
def test_value_is_shown_by_the_unit_in_its_name(name, value, en, zh):
    assert show(name, value, "en") == en
    assert show(name, value, "zh") == zh


@given(st.floats(min_value=-1e15, max_value=1e15), st.sampled_from(["en", "zh"]))
def test_compact_figure_is_within_half_a_percent_and_short(value, lang):
    text = compact(value, lang)
    digits, _, label = text.partition(THIN)
    scale = {"": 1, "k": 1e3, "m": 1e6, "bn": 1e9, "tn": 1e12, "万": 1e4, "亿": 1e8, "万亿": 1e12}[label]
    assert float(digits.replace(",", "")) * scale == pytest.approx(value, rel=0.0051, abs=1e-12)
    assert len(digits.lstrip("-")) <= 9


@given(st.text())
def test_inert_name_has_no_control_character_and_can_be_read_back(name):
    text = inert(name)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in text)
    spelled = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))
    assert (text == name) == (spelled == name)


def test_right_to_left_override_is_spelled_out():
    assert inert("\u202eevil") == "\\u202eevil"


def test_sentence_puts_names_between_isolates_and_does_not_read_them_as_templates():
    sentence = Sentence("say.etf.item", {"asset": "{net_flow_usd}", "net_flow_usd": Decimal(-4_500_000)})
    assert say(sentence, "en") == f"\u2068{{net_flow_usd}}\u2069 −4.50{THIN}m USD"


def test_missing_figure_in_a_sentence_is_said():
    values = {"asset": "BTC", "usd_change_frac": None, "base_change_frac": -0.1}
    assert "missing in USD" in say(Sentence("say.open_interest.item", values), "en")
