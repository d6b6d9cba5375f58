"""Charts as inline SVG: drawn by matplotlib from the model's numbers, then made fit for a page in two themes.

Belongs here: geometry, axes, gaps, and the clean-up of the SVG (ids of its own, colours as CSS variables, nothing loaded).
Does not: words. A chart holds figures and clocks only; its title, legend and axis names stand in the page around it, so that one
drawing serves every language and no name of an asset is ever laid out by matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from assets.report.model import Chart, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Points of the drawing, one CSS pixel each at full size; the page scales it to its column.
SIZES = {"line": (560.0, 236.0), "bar": (560.0, 236.0), "curve": (360.0, 216.0)}
FONT_PX = {"line": 12.5, "bar": 12.5, "curve": 12.0}

# Lines beyond the fourth are dashed as well as coloured: eight hues alone are not told apart by everyone.
DASHES: tuple[str | tuple[float, Sequence[float]], ...] = ("solid",) * 4 + ((0.0, (5.0, 2.0)),) * 4

# Round steps of an amplification axis, by how far it reaches; the last set ends beyond any move that a grid allows.
AMPLIFICATION_STEPS = (
    (1.0, 1.1, 1.2, 1.3, 1.4, 1.5),
    (1.0, 1.5, 2.0, 2.5, 3.0),
    (1.0, 2.0, 3.0, 5.0, 8.0),
    (1.0, 2.0, 5.0, 10.0, 20.0),
    (1.0, 3.0, 10.0, 30.0, 100.0),
    (1.0, 10.0, 100.0, 1_000.0, 10_000.0, float("inf")),
)

# Colours that stand for CSS variables. matplotlib needs real ones; these occur nowhere else in its output.
_SERIES_COLOURS = tuple(f"#0a0b{k:02d}" for k in range(1, 9))
_TEXT, _GRID, _AXIS = "#0a0b21", "#0a0b22", "#0a0b23"
_VARIABLES = {colour: f"var(--s{k})" for k, colour in enumerate(_SERIES_COLOURS, start=1)} | {
    _TEXT: "var(--muted)",
    _GRID: "var(--grid)",
    _AXIS: "var(--axis)",
}

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lowtide",
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same measures on every machine
    "axes.edgecolor": _AXIS,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _AXIS,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "ytick.left": False,
    "xtick.major.size": 4.0,
    "lines.linewidth": 1.7,
    "lines.solid_joinstyle": "round",
    "lines.scale_dashes": False,
}

_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_XLINK = "{http://www.w3.org/1999/xlink}"
_REFERENCE = re.compile(r"#([A-Za-z_][\w.-]*)")


def svg(chart: Chart, prefix: str, title: str) -> str:
    """Return a chart as an inline SVG element.

    Parameters
    ----------
    chart : Chart
    prefix : str
        Stands before every id, so that charts of one page do not share any; letters, digits, hyphens.
    title : str
        Accessible name, plain text.

    Returns
    -------
    str
        ``<svg role="img">`` without scripts, styles, images, fonts or addresses; the same chart gives the same bytes.
    """
    root = ElementTree.fromstring(_drawn(chart))  # noqa: S314 - our own drawing, no foreign XML
    width, height = SIZES[chart.kind]
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in list(root.iter()):
        tag = element.tag.rpartition("}")[2]
        if tag in ("style", "metadata"):
            parents[element].remove(element)
            continue
        element.tag = tag
        _clean(element, prefix)
    for element in list(root.iter("defs")):
        if not len(element) and element in parents:
            parents[element].remove(element)
    root.attrib = {
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria-labelledby": f"{prefix}-title",
        "class": f"chart chart-{chart.kind}",
    }
    name = ElementTree.Element("title", {"id": f"{prefix}-title"})
    name.text = title
    root.insert(0, name)
    return re.sub(r"\n\s*", " ", ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)).strip()


def _clean(element: ElementTree.Element, prefix: str) -> None:
    """Give ids a prefix, drop those of groups, turn links into plain local references and colours into variables."""
    attributes: dict[str, str] = {}
    for name, value in element.attrib.items():
        if name == "id":
            if element.tag != "g":
                attributes["id"] = f"{prefix}-{value}"
        elif name == f"{_XLINK}href":
            attributes["href"] = _REFERENCE.sub(rf"#{prefix}-\1", value)
        elif name == "clip-path":
            attributes[name] = _REFERENCE.sub(rf"#{prefix}-\1", value)
        elif name == "style":
            attributes[name] = _style(value)
        elif name == "transform" and value.startswith("rotate(-0 "):
            continue
        else:
            attributes[name] = value
    element.attrib = attributes


def _style(value: str) -> str:
    """Return a style with CSS variables for our colours and without font families: the page chooses the face."""
    parts = [part.strip() for part in value.split(";")]
    kept = "; ".join(part for part in parts if part and not part.startswith("font-family"))
    kept = re.sub(r"(font: [\d.]+px) .*?(?=;|$)", r"\1", kept)
    for colour, variable in _VARIABLES.items():
        kept = kept.replace(colour, variable)
    return kept


@lru_cache(maxsize=256)
def _drawn(chart: Chart) -> bytes:
    """Draw a chart; the page of each language asks for the same one."""
    from matplotlib import style  # noqa: PLC0415 - slow to import, and a run without a report does not need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    width, height = SIZES[chart.kind]
    with style.context(["default", _SETTINGS | {"font.size": FONT_PX[chart.kind]}], after_reset=True):
        figure = Figure(figsize=(width / 72.0, height / 72.0), dpi=72, facecolor="none")
        axes = figure.add_axes((0.1, 0.115, 0.865, 0.855), facecolor="none")
        {"line": _line, "bar": _bar, "curve": _curve}[chart.kind](axes, chart)
        axes.yaxis.set_major_locator(_locator(axes, chart))
        axes.yaxis.set_major_formatter(_formatter(chart.unit, axes))
        axes.tick_params(axis="y", pad=4)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    return buffer.getvalue()


def _locator(axes: Axes, chart: Chart) -> Any:
    """Return round steps; an amplification axis is logarithmic and begins at 1, where nothing is added."""
    from matplotlib.ticker import FixedLocator, MaxNLocator  # noqa: PLC0415

    if chart.kind != "curve":
        return MaxNLocator(nbins=5, min_n_ticks=3)
    _, top = axes.get_ylim()
    return FixedLocator([step for step in next(s for s in AMPLIFICATION_STEPS if top <= s[-1] * 1.2) if step <= top])


def _line(axes: Axes, chart: Chart) -> None:
    positions = _positions(chart.x)
    for k, series in enumerate(chart.series):
        _path(axes, positions, series, k)
    _time_axis(axes, chart.x, positions)
    if chart.unit == "frac":
        axes.axhline(0.0, color=_AXIS, linewidth=0.9, zorder=1)
    axes.margins(x=0.01, y=0.08)


def _path(axes: Axes, positions: Sequence[float], series: Series, k: int) -> None:
    values = [float("nan") if v is None else v for v in series.values]
    colour = _SERIES_COLOURS[k % len(_SERIES_COLOURS)]
    axes.plot(positions, values, color=colour, linestyle=DASHES[k % len(DASHES)], zorder=3)
    # A single value between two gaps has no line to stand on.
    alone = [i for i in range(len(values)) if _is_alone(series.values, i)]
    if alone:
        axes.plot(
            [positions[i] for i in alone], [values[i] for i in alone], "o", color=colour, markersize=3.2, zorder=3
        )


def _is_alone(values: Sequence[float | None], i: int) -> bool:
    before = values[i - 1] if i else None
    after = values[i + 1] if i + 1 < len(values) else None
    return values[i] is not None and before is None and after is None


def _bar(axes: Axes, chart: Chart) -> None:
    """Draw bars over trading days: equal steps, because no flow is due on the days between."""
    series = chart.series[0]
    positions = [float(i) for i in range(len(chart.x))]
    for sign, colour in ((1.0, _SERIES_COLOURS[0]), (-1.0, _SERIES_COLOURS[1])):
        chosen = [(p, v) for p, v in zip(positions, series.values, strict=True) if v is not None and v * sign > 0]
        axes.bar([p for p, _ in chosen], [v for _, v in chosen], width=0.66, color=colour, zorder=3)
    axes.axhline(0.0, color=_AXIS, linewidth=0.9, zorder=4)
    axes.set_xlim(-0.7, len(positions) - 0.3)
    axes.spines["bottom"].set_visible(False)
    step = max(1, -(-len(positions) // 6))
    shown = list(range(len(positions) - 1, -1, -step))[::-1]
    axes.set_xticks([positions[i] for i in shown], [_clock_label(chart.x[i]) for i in shown])
    axes.margins(y=0.1)


def _curve(axes: Axes, chart: Chart) -> None:
    """Draw curves over a signed shock; the two sides are different fuel and are not joined."""
    shocks = [float(x) * 100.0 for x in chart.x if isinstance(x, (int, float))]
    for k, series in enumerate(chart.series):
        for sign in (-1.0, 1.0):
            side = [(s, v) for s, v in zip(shocks, series.values, strict=True) if v is not None and s * sign > 0]
            axes.plot(
                [s for s, _ in side],
                [v for _, v in side],
                color=_SERIES_COLOURS[k % len(_SERIES_COLOURS)],
                linestyle=DASHES[k % len(DASHES)],
                marker="o",
                markersize=2.6,
                zorder=3,
            )
    axes.axvline(0.0, color=_AXIS, linewidth=0.9, zorder=1)
    axes.axhline(1.0, color=_AXIS, linewidth=0.9, zorder=1)
    reach = max((abs(s) for s in shocks), default=1.0)
    axes.set_xlim(-reach * 1.04, reach * 1.04)
    ticks = [-reach, -reach / 2, 0.0, reach / 2, reach]
    axes.set_xticks(ticks, [f"{t:+.3g}".replace("-", "\u2212") if t else "0" for t in ticks])
    top = max((s.high for s in chart.series if s.high is not None), default=1.0)
    axes.set_yscale("log")
    axes.minorticks_off()
    top = max(1.3, top)
    axes.set_ylim(top**-0.05, top**1.08)


def _positions(x: Sequence[datetime | date | float]) -> list[float]:
    """Return hours or days since the first x: time is to scale, and nothing depends on a calendar library."""
    first = x[0]
    if isinstance(first, datetime):
        return [(v - first).total_seconds() / 3600.0 for v in x if isinstance(v, datetime)]
    if isinstance(first, date):
        return [float((v - first).days) for v in x if isinstance(v, date)]
    return [float(v) for v in x if isinstance(v, (int, float))]


def _time_axis(axes: Axes, x: Sequence[datetime | date | float], positions: Sequence[float]) -> None:
    if isinstance(x[0], datetime):
        marks = [i for i, v in enumerate(x) if isinstance(v, datetime) and v.hour == 0]
        if len(marks) < 4:  # a few days: mark the noons too
            marks = [i for i, v in enumerate(x) if isinstance(v, datetime) and v.hour in (0, 12)]
    else:
        step = max(1, len(x) // 6)
        marks = list(range(len(x) - 1, -1, -step))[::-1]
    axes.set_xticks([positions[i] for i in marks], [_clock_label(x[i]) for i in marks])


def _clock_label(value: datetime | date | float) -> str:
    if isinstance(value, datetime):
        return f"{value:%m-%d}" if value.hour == 0 else f"{value:%H:%M}"
    # A number is a move as a fraction; the page says that the axis is in percent.
    return f"{value:%m-%d}" if isinstance(value, date) else f"{value * 100.0:.3g}"


def _formatter(unit: str, axes: Axes) -> Any:
    scale = {"frac": 100.0, "usd": 1e-6}.get(unit, 1.0)
    suffix = "×" if unit == "x" else ""

    def label(value: float, _position: int | None = None) -> str:
        text = f"{round(value * scale, 6):,.6g}"
        return f"{text}{suffix}".replace("-", "\u2212")

    return label


def legend(chart: Chart) -> Iterator[tuple[int, bool, Series]]:
    """Yield (number of the colour, is dashed, series) for the legend in the page."""
    for k, series in enumerate(chart.series):
        yield k % len(_SERIES_COLOURS) + 1, DASHES[k % len(DASHES)] != "solid", series
