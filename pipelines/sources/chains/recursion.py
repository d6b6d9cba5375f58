"""Keeps web3 from letting Python recurse 100,000 levels deep: import this first, then web3.

Belongs here: the limit alone. Does not: anything else.

web3 imports py_ecc, which raises the limit for the whole process. A nested answer or file, which is refused otherwise, would then end
the process.
"""

from __future__ import annotations

import sys

_limit = sys.getrecursionlimit()
import py_ecc  # noqa: E402, F401

sys.setrecursionlimit(_limit)
