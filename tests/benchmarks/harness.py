"""What every benchmark shares: timing by turns, rows with floors, C++ twins, the machine's limits, the written report.

Belongs here: nothing about any one kernel. Does not: what is timed and why (``bench_*.py``, one per engine, each with a function
``rows``); which of them run (``run.py``).

Times are the least of some repeats, because noise only adds. What is compared is timed by turns, so that a slow minute of the
machine meets both. One thread is timed in processor seconds, which leave other people's work out; threads and processes in
seconds of the wall clock.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
PAGE = ROOT / "docs" / "benchmarks.md"
TWINS = Path(__file__).resolve().parent / "twins"
# Compiled for this processor, as numba does. Nothing that changes a bit: no -ffast-math, no fused multiply-add.
TWIN_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fPIC", "-shared", "-ffp-contract=off")
TWIN_FLOOR_X = 1.7
NO_TWIN = "not measured: no g++"

LEAST_SAMPLE_S = 2e-3  # a shorter sample would measure the clock and the call
MOST_CALLS = 20_000
MOST_SAMPLES_A_TURN = 20


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    name : str
        Engine first: ``"A: ..."``.
    measured : float or None
        None where it could not be measured; `note` says why.
    floor : float or None
        The promise; None where there is none.
    unit : str
    is_most : bool
        True where the floor bounds from above: seconds, exponents, times slower.
    best_numpy : float or None
        The best that vectorised numpy does on the same question, over the product: above 1 the product is faster.
    limit : str
        The physical limit beside what was measured.
    note : str
        What was timed.
    """

    name: str
    measured: float | None
    floor: float | None = None
    unit: str = "x"
    is_most: bool = False
    best_numpy: float | None = None
    limit: str = ""
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the floor holds; None without one."""
        if self.measured is None or self.floor is None:
            return None
        return self.measured <= self.floor if self.is_most else self.measured >= self.floor


# --- timing -----------------------------------------------------------------------------------------------------------


def race(
    *works: Callable[[], object],
    seconds: float = 1.0,
    least_turns: int = 2,
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """Time works by turns for about `seconds`; return for each the least seconds of one call.

    Each work runs once before it is timed. A turn takes several samples of a fast work, so that it has as many chances to
    meet a quiet moment as a slow one has.
    """
    calls, rough = [], []
    for work in works:
        work()
        start = clock()
        work()
        once = max(clock() - start, 1e-9)
        calls.append(int(min(MOST_CALLS, max(1.0, np.ceil(LEAST_SAMPLE_S / once)))))
        rough.append(once * calls[-1])
    samples = [int(min(MOST_SAMPLES_A_TURN, max(1.0, max(rough) / each))) for each in rough]
    best = [float("inf")] * len(works)
    began, turns = time.perf_counter(), 0
    while turns < least_turns or time.perf_counter() - began < seconds:
        for w, work in enumerate(works):
            for _ in range(samples[w]):
                start = clock()
                for _ in range(calls[w]):
                    work()
                best[w] = min(best[w], (clock() - start) / calls[w])
        turns += 1
    return best


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the slope of log time over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def peak_row(name: str, work: Callable[[], object], inputs: Sequence[np.ndarray]) -> Row:
    """Return the most memory that arrays and objects made in one call hold together, in MiB, beside that of its inputs."""
    tracemalloc.start()
    try:
        work()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    return Row(name, peak, unit="MiB", limit=f"{sum(a.nbytes for a in inputs) / 2**20:.3g} MiB of inputs, not counted")


def thread_row(name: str, one: Callable[[], object], two: Callable[[], object], floor: float | None = None) -> Row:
    """Return wall time with one thread over wall time with two; the caller has compared the results."""
    slow, fast = race(one, two, seconds=30.0 if floor else 4.0, clock=time.perf_counter, least_turns=10)
    note = f"{slow * 1e3:.3g} ms with one, {fast * 1e3:.3g} ms with two, results identical; other work on the machine counts"
    limit = f"{os.cpu_count()} cores; loops that share nothing gain {two_thread_gain():.2f}x here"
    return Row(name, slow / fast, floor, limit=limit, note=note)


# --- the machine's limits ------------------------------------------------------------------------------------------------


@functools.cache
def copy_gb_per_s(n_bytes: int) -> float:
    """Return the bytes read and written per second by one thread that copies until `n_bytes` have moved, in 1e9."""
    source = np.ones(max(1, n_bytes // 16))
    target = np.zeros_like(source)
    (best,) = race(lambda: np.copyto(target, source), seconds=0.3, least_turns=10)
    return 2e-9 * source.nbytes / best


@njit(nogil=True)
def _chase(following, steps):
    at = 0
    for _ in range(steps):
        at = following[at]
    return at


@functools.cache
def load_ns(n_bytes: int) -> float:
    """Return the nanoseconds of one load that waits for the one before, in a table of `n_bytes` walked at random."""
    n = max(64, n_bytes // 8)
    order = np.random.default_rng(1).permutation(n)
    following = np.empty(n, dtype=np.int64)
    following[order] = np.roll(order, -1)
    (best,) = race(lambda: _chase(following, 100_000), seconds=0.3, least_turns=10)
    return best / 100_000 * 1e9


@njit(nogil=True)
def _sum(numbers, times):
    total = 0
    for i in range(times):
        for number in numbers:
            total += number ^ i
    return total


@functools.cache
def two_thread_gain() -> float:
    """Return how much sooner two threads end two sums of 33 kB each than one thread does: what the machine itself gives."""
    pieces = [np.arange(2**12), np.arange(2**12)]
    work = functools.partial(_sum, times=2_000)
    with ThreadPoolExecutor(2) as pool:
        alone, together = race(
            lambda: [work(piece) for piece in pieces],
            lambda: list(pool.map(work, pieces)),
            seconds=2.0,
            clock=time.perf_counter,
            least_turns=20,
        )
    return alone / together


def copy_limit(n_bytes: float, seconds: float) -> str:
    """Say how long a plain copy that moves as many bytes would take, beside what was measured."""
    rate = copy_gb_per_s(int(n_bytes))
    return f"moves {_size(n_bytes)}: {_time(n_bytes / rate * 1e-9)} at the {rate:.0f} GB/s of a copy of that size; took {_time(seconds)}"


def level_limit(levels: float, seconds: float, n_bytes: int, loads: int, what: str = "level") -> str:
    """Say what one level costs, beside the wait for its loads in a table of that size."""
    wait = loads * load_ns(n_bytes)
    return f"{seconds / levels * 1e9:.3g} ns a {what}; {loads} loads at random in {_size(n_bytes)} wait {wait:.3g} ns"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.3g} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.3g} kB"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.3g} us"


# --- twins ----------------------------------------------------------------------------------------------------------------


class Twin:
    """A C++ library of ``twins/``; its functions take the arrays, named tuples of arrays and numbers of the kernels."""

    def __init__(self, library: ctypes.CDLL | None) -> None:
        self._library = library

    def bind(self, name: str, *arguments: Any) -> Callable[[], Any] | None:
        """Return a call of `name` on fixed arguments, None where there is no g++. Arrays become pointers, named tuples structs."""
        if self._library is None:
            return None
        function = getattr(self._library, name)
        function.restype = None
        passed = [_passed(a) for a in arguments]
        return functools.partial(_call, function, passed, arguments)


def _call(function: Any, passed: list[Any], _kept_alive: tuple[Any, ...]) -> Any:
    return function(*passed)


def _passed(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(_address(argument))
    if isinstance(argument, tuple):
        return ctypes.byref((ctypes.c_void_p * len(argument))(*map(_address, argument)))
    if isinstance(argument, bool):
        return ctypes.c_bool(argument)
    return ctypes.c_double(argument) if isinstance(argument, float) else ctypes.c_int64(argument)


def _address(array: np.ndarray) -> int:
    if not array.flags.c_contiguous:
        raise ValueError("a twin reads contiguous arrays only")
    return array.ctypes.data


def sizes(*numbers: int) -> np.ndarray:
    """Return a struct of whole numbers for a twin."""
    return np.array(numbers, dtype=np.int64)


@functools.cache
def twin(name: str) -> Twin:
    """Compile ``twins/<name>.cpp`` and return it; without a g++ it binds nothing."""
    compiler = shutil.which("g++")
    if compiler is None:
        return Twin(None)
    out = BUILD / "twins" / f"{name}.so"
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, *TWIN_FLAGS, str(TWINS / f"{name}.cpp"), "-o", str(out)], check=True)
    return Twin(ctypes.CDLL(str(out)))


def twin_row(
    name: str,
    kernel: Callable[[], object],
    other: Callable[[], object] | None,
    found: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    *,
    adds_to: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] = ((), ()),
) -> Row:
    """Run a kernel and its bound twin, compare what they filled bit for bit, and return how many times slower the kernel is.

    A kernel that adds to what it finds names those arrays in `adds_to`, its own and the twin's: they are set to 0 before each
    timed call, and the time of that is taken off again.
    """
    title = f"{name} vs its g++ twin"
    if other is None:
        return Row(title, None, TWIN_FLOOR_X, "x slower", is_most=True, note=NO_TWIN)
    kernel()
    other()
    require_equal(title, found, expected)

    def clear(side: int) -> None:
        for array in adds_to[side]:
            array[...] = 0

    works = (lambda: (clear(0), kernel()), lambda: (clear(1), other()), lambda: clear(0))
    ours, theirs, clearing = race(*works, seconds=0.5, least_turns=5)
    ours, theirs = ours - clearing, theirs - clearing
    note = f"numba {_time(ours)}, g++ {_time(theirs)}"
    return Row(title, ours / theirs, TWIN_FLOOR_X, "x slower", is_most=True, note=note)


def require_equal(what: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> None:
    """Stop where two results differ in a single bit: what disagrees is not worth timing.

    Raises
    ------
    AssertionError
        Names the comparison and the place of the array.
    """
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            raise AssertionError(f"{what}: the results differ in array {i}")


# --- the report -------------------------------------------------------------------------------------------------------------


def print_row(row: Row) -> None:
    """Print a row as it is measured."""
    state = {True: "ok", False: "MISSED", None: ""}[row.is_met]
    print(f"{_measured(row):>10}  {_floor(row):>16}  {state:6}  {row.name}  ({row.note or row.limit})", flush=True)


def write_json(rows: Sequence[Row]) -> None:
    """Write ``build/bench.json``: name, measured, floor, unit, and whether the floor is a least or a most."""
    table = [
        {
            "name": r.name,
            "measured": None if r.measured is None else float(f"{r.measured:.4g}"),
            "floor": r.floor,
            "unit": r.unit,
            "bound": None if r.floor is None else "at most" if r.is_most else "at least",
            "note": r.note,
        }
        for r in rows
    ]
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(json.dumps(table, indent=1) + "\n")


def write_page(groups: dict[str, Sequence[Row]], seconds: float) -> None:
    """Write ``docs/benchmarks.md`` from rows by heading."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Every ratio was measured within this one run, by turns, after the results of both",
        "sides were compared bit for bit; a time is the least of its repeats. Floors are promises; a missed one is said so.",
        "",
        *(f"- {line}" for line in machine(seconds)),
        "",
        '"Best numpy" is the best vectorised numpy on the same question over the product: 3 means that the product takes a third.',
        f"Twins are the same algorithms in C++ (`tests/benchmarks/twins`), g++ with `{' '.join(TWIN_FLAGS)}`.",
    ]
    for heading, rows in groups.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| measured | floor | | best numpy | what | physical limit |",
            "|---|---|---|---|---|---|",
        ]
        for r in rows:
            state = {True: "met", False: "**missed**", None: ""}[r.is_met]
            best = "" if r.best_numpy is None else f"{_short(r.best_numpy)}x"
            what = r.name.split(": ", 1)[-1] + (f"; {r.note}" if r.note and r.measured is not None else "")
            lines.append(f"| {_measured(r)} | {_floor(r)} | {state} | {best} | {what} | {r.limit} |")
    PAGE.write_text("\n".join(lines) + "\n")


def machine(seconds: float) -> list[str]:
    """Describe the run in general words: when, on what, by which command."""
    compiler = shutil.which("g++")
    gcc = "no g++"
    if compiler is not None:
        gcc = (
            "g++ "
            + subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
        )
    load = os.getloadavg()[2]
    return [
        f"{datetime.now(UTC):%Y-%m-%d} (UTC), `make bench`, {seconds / 60:.1f} minutes, load {load:.1f} over the last 15 of them",
        f"{os.cpu_count()} cores ({platform.machine()}); Python {platform.python_version()}, numpy {version('numpy')}, "
        f"numba {version('numba')} (llvmlite {version('llvmlite')}), {gcc}",
        f"one thread copies {copy_gb_per_s(2**28):.1f} GB/s in memory (268 MB moved, reads and writes counted), "
        f"{copy_gb_per_s(2**18):.0f} GB/s within 262 kB",
        f"a load that waits for the one before takes {load_ns(2**15):.1f} ns in 33 kB, {load_ns(2**21):.1f} ns in 2.1 MB, "
        f"{load_ns(2**28):.0f} ns in 268 MB",
    ]


def _measured(row: Row) -> str:
    return row.note if row.measured is None else _with_unit(_short(row.measured), row.unit)


def _floor(row: Row) -> str:
    if row.floor is None:
        return ""
    return f"{'at most' if row.is_most else 'at least'} {_with_unit(f'{row.floor:g}', row.unit)}"


def _with_unit(value: str, unit: str) -> str:
    if unit in ("x", "x slower"):
        return f"{value}x"
    return value if unit == "exponent" else f"{value} {unit}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
