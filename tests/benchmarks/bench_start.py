"""What a user waits for: from process start to the first result, and the compilation of everything.

Belongs here: child processes with a kernel cache of their own, timed by the wall clock. Does not: how fast a kernel is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness import BUILD, ROOT, Row

HEADING = "Start and compilation"
START_FLOOR_S, COMPILE_FLOOR_S = 2.0, 20.0
REPEATS = 5
CACHE = BUILD / "bench_cache"
# Per engine the function that runs each of its kernels once on a tiny market.
FIRST_RESULTS = {
    "A": "from assets.cascade.simulate import compile_kernels as run; run()",
    "B": "from assets.cascade.grid import compile_grid_kernels as run; run()",
    "C": "from assets.cascade.accounts import compile_account_kernels as run; run()",
    "D": "from assets.cascade.dynamic import compile_kernels as run; run()",
}
AHEAD = "from assets.cascade.compilation import warmup as run; run()"
LIBRARIES_ALONE = "import numpy, numba"


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    yield from _compilation()
    alone_s = min(_seconds(LIBRARIES_ALONE)[0] for _ in range(REPEATS))
    for engine, program in FIRST_RESULTS.items():
        found = [_seconds(program) for _ in range(REPEATS)]
        limit = f"a process that imports numpy and numba and does nothing takes {alone_s:.2f} s"
        note = f"least of {REPEATS}, {min(f[1] for f in found):.2f} s of processor time"
        name = f"Start: process start to first cached result, {engine}"
        yield Row(name, min(f[0] for f in found), START_FLOOR_S, "s", is_most=True, limit=limit, note=note)
    yield from _memory()
    shutil.rmtree(CACHE)


def _compilation() -> Iterator[Row]:
    # The command that compiles everything; a session that never called it compiles what it asks for, one module at a time.
    shutil.rmtree(CACHE, ignore_errors=True)
    cold_s, cpu_s = _seconds(AHEAD)
    name = f"Start: full cold compile, `lowtide warmup` on {os.cpu_count()} cores"
    note = f"{len(list(CACHE.rglob('*.nbi')))} cached functions; {cpu_s:.1f} s of processor time, which one core alone would take"
    yield Row(name, cold_s, COMPILE_FLOOR_S, "s", is_most=True, note=note)


def _memory() -> Iterator[Row]:
    """A child's peak is read by itself: the system's account of children counts the parent's memory before the exec."""
    status = Path("/proc/self/status")
    for engine, program in FIRST_RESULTS.items():
        name = f"Start: peak memory of a process up to its first cached result, {engine}"
        if not status.exists():
            yield Row(name, None, unit="MiB", note="not measured: no /proc here")
            continue
        child = _child(f"{program}; print(open('{status}').read())", stdout=subprocess.PIPE)
        said = dict(line.split(":", 1) for line in child.communicate()[0].decode().splitlines() if ":" in line)
        yield Row(name, int(said["VmHWM"].split()[0]) / 1024, unit="MiB")


def _child(program: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(CACHE)}
    return subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=ROOT, stdout=stdout)


def _wait(child: subprocess.Popen[bytes]) -> float:
    """Return a child's processor seconds."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"exit code {child.returncode}: {child.args!r}")
    return usage.ru_utime + usage.ru_stime


def _seconds(program: str) -> tuple[float, float]:
    """Run a program in a new process; return its seconds by the wall clock and of the processor."""
    start = time.perf_counter()
    processor_s = _wait(_child(program))
    return time.perf_counter() - start, processor_s
