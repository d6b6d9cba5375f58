"""The kernels' machine code: compiled ahead of use, healed after corruption.

Belongs here: the one place that knows every replay that has kernels. Does not: the replays themselves. numba is imported only
when a kernel is compiled.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def warmup() -> None:
    """Compile every kernel into the cache ahead of use, and heal a corrupt cache.

    The work is done in a child process, because a truncated cache file can kill the process that loads it. Where the
    child fails, the kernels' cache files are deleted and it runs again. The cache folder is numba's own setting; the
    caller binds it to the version.

    Raises
    ------
    RuntimeError
        Where the kernels do not compile although the cache is empty.
    """
    if _in_child("compile_kernels") is None:
        return
    failure = _in_child("forget_cache") or _in_child("compile_kernels")
    if failure is not None:
        raise RuntimeError(
            f"the cascade kernels do not compile: {failure}; delete numba's cache folder or reinstall numba"
        )


def _in_child(function: str) -> str | None:
    """Run a function of this module in a new process; return None, or the last line of what went wrong."""
    program = f"from {__name__} import {function}; {function}()"
    # Our own interpreter and a program made of names of this module.
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    if child.returncode == 0:
        return None
    return (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]


def compile_kernels() -> None:
    """Run every kernel of every replay once on a tiny market, in this process."""
    from assets.cascade import accounts, dynamic, grid, rounds, simulate  # noqa: PLC0415 - numba is imported only when a kernel is needed

    simulate.compile_kernels()
    grid.compile_grid_kernels()
    rounds.compile_round_kernels()
    accounts.compile_account_kernels()
    dynamic.compile_kernels()


def forget_cache() -> list[Path]:
    """Delete the cached machine code of all cascade kernels and return the deleted files."""
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    cache = getattr(kernel.merge_scenarios, "_cache", None)
    if cache is None:  # the compiler is switched off: nothing is cached
        return []
    deleted = sorted(Path(cache.cache_path).glob("kernel*.nb[ic]"))
    for file in deleted:
        file.unlink(missing_ok=True)
    return deleted
