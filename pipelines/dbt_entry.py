"""`lowtide-dbt`: dbt's own command, started with the manifest that is already parsed.

A parse costs seconds in every process and dbt repeats it whenever the warehouse's path or its thread count differ.
`ensure_manifest` has parsed this very content of the dbt folder; dbt's programmatic interface takes it as it is.

References
----------
https://docs.getdbt.com/reference/programmatic-invocations (reusing objects)
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run dbt with the command line's arguments; exit as dbt would."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - seconds to import
    from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415

    from pipelines.dbt_manifest import ensure_manifest  # noqa: PLC0415

    parsed = ensure_manifest().with_name("partial_parse.msgpack")
    result = dbtRunner(manifest=Manifest.from_msgpack(parsed.read_bytes())).invoke(sys.argv[1:])
    if result.exception:
        sys.stderr.write(f"{result.exception}\n")
        sys.exit(2)
    sys.exit(0 if result.success else 1)
