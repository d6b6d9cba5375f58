"""The kernels' machine code: compiled ahead of use, healed after corruption.

Belongs here: the one place that knows every replay that has kernels. Does not: the replays themselves. numba is imported only
when a kernel is compiled.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def warmup() -> None:
    """Compile every kernel into the cache ahead of use, and heal a corrupt cache.

    The work is done in child processes: a truncated cache file can kill the process that loads it, and one child per kernel
    module uses all cores. Where a child fails, the kernels' cache files are deleted and all run again. The cache folder is
    numba's own setting; the caller binds it to the version.

    Raises
    ------
    RuntimeError
        Where the kernels do not compile although the cache is empty.
    """
    if _compile_in_children() is None:
        return
    failure = _in_child("forget_cache") or _compile_in_children()
    if failure is not None:
        raise RuntimeError(
            f"the cascade kernels do not compile: {failure}; delete numba's cache folder or reinstall numba"
        )


def compile_static() -> None:
    """Run every kernel of ``kernel.py`` once on a tiny market, in this process."""
    from assets.cascade import grid, rounds, simulate  # noqa: PLC0415 - numba is imported only when a kernel is needed

    simulate.compile_kernels()
    grid.compile_grid_kernels()
    rounds.compile_round_kernels()


def compile_accounts() -> None:
    """Run every kernel of ``kernel_accounts.py`` once on a tiny market, in this process."""
    from assets.cascade import accounts  # noqa: PLC0415 - numba is imported only when a kernel is needed

    accounts.compile_account_kernels()


def compile_dynamic() -> None:
    """Run every kernel of ``kernel_dynamic.py`` once on a tiny market, in this process."""
    from assets.cascade import dynamic  # noqa: PLC0415 - numba is imported only when a kernel is needed

    dynamic.compile_kernels()


# One share per kernel module: two processes that compile the same function would write the same cache file. Longest first.
_SHARES = (compile_accounts, compile_static, compile_dynamic)


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


def _compile_in_children() -> str | None:
    """Compile every share in a process of its own; return None, or the last line of what went wrong first."""
    names = [share.__name__ for share in _SHARES]
    with ThreadPoolExecutor(len(names)) as pool:
        failures = list(pool.map(_in_child, names))
    return next((failure for failure in failures if failure is not None), None)


def _in_child(function: str) -> str | None:
    """Run a function of this module in a new process; return None, or the last line of what went wrong."""
    # What a compilation makes stays alive to the end: looking for garbage among it finds none.
    program = f"import gc; gc.disable(); from {__name__} import {function}; {function}()"
    # Our own interpreter and a program made of names of this module.
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    if child.returncode == 0:
        return None
    return (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
