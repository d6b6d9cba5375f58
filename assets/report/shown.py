"""How a number is shown: by the unit in its name, in the reader's language, with missing said as missing.

Belongs here: digits, thin spaces, signs, large-number words, names made inert. Does not: HTML (templates escape), sentences
(``words.py``). The JSON holds the full figure; only the page rounds.
"""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from assets.report.model import Sentence
from assets.report.words import WORDS, enum_word, word

# Narrow no-break space between figure and unit; typographic minus, which is as wide as a plus.
THIN = "\u202f"
MINUS = "\u2212"

# Figures whose sign is the message carry a plus too.
_SIGNED = (
    "return_frac",
    "change",
    "net_flow",
    "net_inflow",
    "surprise",
    "revision",
    "deviation",
    "z_x",
    "streak_count",
    "funding_8h_frac",
    "funding_annualised_frac",
)
_ENUMS = ("_origin", "_status", "_class", "_side", "_kind", "_reason", "knowledge", "verified_by")
_LISTS = ("fuel_venues", "sources")
_PLAIN_SHARES = ("low_survival_x", "high_survival_x", "depth_survival_frac", "sold_share_frac", "impact_exponent_x")

_LARGE: dict[str, tuple[tuple[float, str], ...]] = {
    "en": ((1e12, "tn"), (1e9, "bn"), (1e6, "m"), (1e3, "k")),
    "zh": ((1e12, "万亿"), (1e8, "亿"), (1e4, "万")),
}

# First strong isolate and its end: a right-to-left name keeps its own direction and cannot turn the sentence around.
_FSI, _PDI = "\u2068", "\u2069"


def show(name: str, value: Any, lang: str) -> str:
    """Return a value as text.

    Parameters
    ----------
    name : str
        Column or field name; its unit token decides the form.
    value : object
        Figure, clock, name or None.
    lang : str
        ``en`` or ``zh``.

    Returns
    -------
    str
        Plain text, not escaped; ``missing`` in the language where `value` is None.
    """
    if value is None:
        return word("missing", lang)
    if isinstance(value, bool):
        return word("yes" if value else "no", lang)
    if name in _LISTS and isinstance(value, str):
        return word("list.comma", lang).join(inert(part) for part in value.split(",") if part) or word("none", lang)
    if isinstance(value, tuple):
        return word("list.comma", lang).join(show(name, part, lang) for part in value) or word("none", lang)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return _enum(value, lang) if name.endswith(_ENUMS) else inert(value)
    return _number(name, float(value) if isinstance(value, Decimal) else value, lang)


def say(sentence: Sentence, lang: str) -> str:
    """Return a sentence as plain text; every figure in it is shown by the unit in its name."""
    items = word("list.items", lang).join(say(item, lang) for item in sentence.items)
    shown = {
        name: f"{_FSI}{show(name, value, lang)}{_PDI}" if _is_name(name, value) else show(name, value, lang)
        for name, value in sentence.values.items()
    }
    return WORDS[sentence.key][lang].format(items=items, **shown)


def inert(name: str) -> str:
    """Return a name with control, direction and invisible characters spelled out, so that it shows what it holds."""
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") else c for c in name
    )


def compact(value: float, lang: str) -> str:
    """Return a large figure with three significant digits and its word: 4.43 bn, 44.3 亿."""
    steps = _LARGE[lang]
    size = abs(value)
    for scale, label in steps:
        # 999.96 m is 1.00 bn and not 1,000 m.
        if size >= scale * 0.9995:
            return f"{_three_digits(value / scale)}{THIN}{label}"
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return _three_digits(value) if size >= 1 else f"{value:.3g}"


def _three_digits(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def _enum(value: str, lang: str) -> str:
    """Return the words of a code; a column may hold several codes, separated by commas."""
    return word("list.comma", lang).join(inert(enum_word(code.strip(), lang)) for code in value.split(","))


def _is_name(name: str, value: Any) -> bool:
    return isinstance(value, str) and not name.endswith(_ENUMS)


def _number(name: str, value: float, lang: str) -> str:
    text = _figure(name, value, lang)
    if any(part in name for part in _SIGNED) and value > 0 and not _is_zero(text):
        text = f"+{text}"
    # A figure that rounds to nothing has no direction: -0.00 reads as a fall.
    return text.removeprefix("-") if _is_zero(text) else text.replace("-", MINUS)


def _is_zero(text: str) -> bool:
    digits = [c for c in text if c.isdigit()]
    return bool(digits) and set(digits) == {"0"}


def _figure(name: str, value: float, lang: str) -> str:
    if name in _PLAIN_SHARES:
        return f"{value:.2f}" if round(value, 2) == value else f"{value:.3f}"
    if name.endswith("_frac"):
        return _percent(name, value, lang)
    if name.endswith("_quote"):
        return _price(value)
    if name.endswith(("_usd", "_base", "_contracts")):
        return compact(value, lang)
    if name.endswith("_count"):
        return f"{value:,.0f}"
    if name.endswith("_index"):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
    if name.endswith("_native"):
        return compact(value, lang) if abs(value) >= 1e6 else f"{value:,.2f}"
    if name.endswith("amplification_x"):
        return f"{value:.2f}{THIN}×"
    if name.endswith("_bps"):
        return f"{value:,.2f}"
    return f"{value:,.2f}"


def _percent(name: str, value: float, lang: str) -> str:
    percent = value * 100.0
    if "funding" in name and "annualised" not in name:
        digits = f"{percent:.4f}"
    elif (
        name in ("shock_frac", "grid_max_shock_frac", "summary_shock_frac")
        or "soft_shock" in name
        or "jump_shock" in name
    ):
        digits = f"{percent:.2f}".rstrip("0").rstrip(".")
    else:
        digits = f"{percent:,.1f}".removesuffix(".0") if abs(percent) >= 99.995 else f"{percent:.2f}"
    return f"{digits}{THIN if lang == 'en' else ''}%"


def _price(value: float) -> str:
    for least, digits in ((10_000, 1), (100, 2), (10, 3), (1, 4)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.5g}" if abs(value) >= 1e-4 else f"{value:.8f}".rstrip("0")
