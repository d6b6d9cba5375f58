"""The table of ETF flows: every figure of a table that is laid out as published, and nothing of one that is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.publishers.etf_table import WrongTable, day_of, flow_days, millions

pytestmark = pytest.mark.fast

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def shown_day(day: date) -> str:
    return f"{day.day:02d} {MONTHS[day.month - 1]} {day.year}"


def shown(tenths: int | None) -> str:
    if tenths is None:
        return "-"
    text = f"{abs(tenths) // 10:,}.{abs(tenths) % 10}"
    return f"({text})" if tenths < 0 else text


def table() -> list[list[str]]:
    """Return a table with issuers above the tickers, fees, staking and seed, three days and a foot."""
    return [
        ["", "Blackrock", "Fidelity", "Grayscale", "Total"],
        ["", "ETHA", "FETH", "ETHE", ""],
        ["Fee", "0.25%", "0.25%", "2.50%", ""],
        ["Staking", "", "", "6%", ""],
        ["Seed", "10.6*", "4.9", "0.0", "15.5"],
        ["01 Jul 2025", "1,013.2", "(5.0)", "-", "1,008.2"],
        ["", "", "", "", ""],
        ["02 Jul 2025", "-", "-", "-", "0.0"],
        ["03 Jul 2025", "0.0", "", "(12.5)", "(12.5)"],
        ["Total", "1,013.2", "(5.0)", "(12.5)", "995.7"],
        ["Average", "506.6", "(5.0)", "(12.5)", "331.9"],
        ["Maximum", "1,013.2", "(5.0)", "(12.5)", "1,008.2"],
        ["Minimum", "0.0", "(5.0)", "(12.5)", "(12.5)"],
    ]


def test_the_newest_day_may_stand_first() -> None:
    turned = table()
    turned[5:9] = reversed(turned[5:9])
    assert sorted(flow_days(turned), key=lambda d: d.day) == flow_days(table())


def test_figures_are_dollars_and_a_dash_is_no_zero() -> None:
    first, last = flow_days(table())
    assert (first.day, dict(first.funds), first.total) == (
        date(2025, 7, 1),
        {"ETHA": Decimal(1_013_200_000), "FETH": Decimal(-5_000_000)},
        Decimal(1_008_200_000),
    )
    # A day on which no fund has a figure is no day of zero flows; a fund's zero is one.
    assert (last.day, dict(last.funds)) == (date(2025, 7, 3), {"ETHA": 0, "ETHE": Decimal(-12_500_000)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t.__setitem__(0, ["", "Blackrock", "Fidelity", "Grayscale", "Sum"]),
            "no Total over its last column",
        ),
        (
            lambda t: t.__setitem__(0, ["", "Total", "Blackrock", "Fidelity", "Grayscale"]),
            "no Total over its last column",
        ),
        (lambda t: t.__setitem__(1, ["", "ETHA", "ETHA", "ETHE", ""]), "tickers, each once"),
        (lambda t: t.__setitem__(1, ["", "ETHA", "Fidelity Fund", "ETHE", ""]), "'Fidelity Fund'"),
        (lambda t: t.__setitem__(1, ["", "ETHA", "TOTAL", "ETHE", ""]), "'TOTAL'"),
        (lambda t: t.__setitem__(1, ["", "ETHA", "=cmd()", "ETHE", ""]), "'=cmd()'"),
        (lambda t: t.__delitem__(slice(0, 2)), "its head is nothing"),
        (
            lambda t: t.__setitem__(2, ["Holdings", "1", "2", "3", ""]),
            "'Holdings' in its head; expected fee, staking, seed",
        ),
        (lambda t: t[5].pop(), "has 4 cells on 01 Jul 2025; expected 5: the day, ETHA, FETH, ETHE, Total"),
        (lambda t: t[5].insert(1, "7.0"), "has 6 cells on 01 Jul 2025"),
        (lambda t: t[5].__setitem__(2, "n/a"), "reads 'n/a' for FETH on 01 Jul 2025; expected figures such as"),
        (lambda t: t[5].__setitem__(2, "1,23"), "reads '1,23' for FETH"),
        (lambda t: t[5].__setitem__(4, "\x1b[31m9"), "reads ' [31m9' for Total"),
        (lambda t: t[7].__setitem__(4, "3.0"), "tells a total and no fund on 02 Jul 2025"),
        (lambda t: t.insert(7, ["Q3 2025", "1.0", "1.0", "1.0", "3.0"]), "'Q3 2025' between its days"),
        (lambda t: t[8].__setitem__(0, "03 Jun 2025"), "days out of order: 2025-06-03 after 2025-07-02"),
        (lambda t: t[7].__setitem__(0, "01 Jul 2025"), "days out of order: 2025-07-01 after 2025-07-01"),
        (lambda t: t[8].__setitem__(0, "31 Jun 2025"), "'31 Jun 2025' in its foot"),
        (lambda t: t.__delitem__(slice(9, None)), "does not end in rows from Total to Minimum; it ends in nothing"),
        (lambda t: t.append(["Median", "1", "1", "1", "1"]), "'Median' in its foot"),
        (lambda t: t.__delitem__(slice(5, 9)), "has no row that begins with a day"),
        (lambda t: t.clear(), "has no row that begins with a day"),
    ],
)
def test_another_layout_is_refused_whole_with_what_was_expected_and_found(
    change: Callable[[list[list[str]]], object], said: str
) -> None:
    changed = table()
    change(changed)
    with pytest.raises(WrongTable) as caught:
        flow_days(changed)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["1_000", "1e6", "(-5)", "(5", "5)", "--5", "1.000,5", "٣", "∞", "NaN", "(-)", "$", "1.", ",5"]
)
def test_what_is_no_figure_is_never_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="is no figure"):
        millions(text)


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("1,234.5", "1234.5"),
        ("(95.1)", "-95.1"),
        ("$7", "7"),
        ("-3.2", "-3.2"),
        ("\u22123.2", "-3.2"),
        ("10.5*", "10.5"),
    ],
)
def test_figures_as_people_write_them(text: str, figure: str) -> None:
    assert millions(text) == Decimal(figure)


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_every_day_is_read_as_written(day: date) -> None:
    assert day_of(shown_day(day)) == day
    assert day_of(f"{day.day} {MONTHS[day.month - 1]} {day.year}") == day


_NAMES = ("IBIT", "FBTC", "BTC", "ETHA", "H0DL", "GBTC")
_ROWS = st.integers(1, 6).flatmap(
    lambda funds: st.lists(
        st.lists(st.none() | st.integers(-(10**7), 10**7), min_size=funds, max_size=funds), min_size=1, max_size=8
    )
)


@settings(max_examples=60)
@given(_ROWS, st.booleans())
def test_a_table_as_published_gives_its_figures_back(rows: list[list[int | None]], is_split: bool) -> None:
    funds = _NAMES[: len(rows[0])]
    told = {date(2025, 1, 2) + timedelta(days=i): dict(zip(funds, row, strict=True)) for i, row in enumerate(rows)}
    head = [["", *[""] * len(funds), "Total"], ["", *funds, ""]] if is_split else [["Date", *funds, "Total"]]
    body = [
        [shown_day(d), *(shown(v) for v in row.values()), shown(sum(v or 0 for v in row.values()))]
        for d, row in told.items()
    ]
    foot = [[label, *["1.0"] * (len(funds) + 1)] for label in ("Total", "Average", "Maximum", "Minimum")]
    found = {d.day: d for d in flow_days([*head, *body, *foot])}
    assert set(found) == {d for d, row in told.items() if any(v is not None for v in row.values())}
    for day, flows in found.items():
        wanted = {f: Decimal(v) * 100_000 for f, v in told[day].items() if v is not None}
        assert dict(flows.funds) == wanted
        assert flows.total == sum(wanted.values())
