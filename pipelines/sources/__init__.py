"""Where records come from: one module per venue or API, and the entrance for files that people already own."""

import sys

# web3 imports py_ecc, and that lets Python recurse 100,000 levels deep, for the whole process: a nested answer or file, which is
# refused otherwise, then ends the process. Imported here, before any module of ours can import web3, it is undone.
_limit = sys.getrecursionlimit()
import py_ecc  # noqa: E402, F401

sys.setrecursionlimit(_limit)
