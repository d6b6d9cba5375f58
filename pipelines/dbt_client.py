"""dbt in our own process, its results handed to Dagster as they come.

Belongs here: dbt's start over the parsed manifest and the way of its events. Does not: what a pass builds
(``assets/warehouse``), the parse (``dbt_manifest.py``).

dagster-dbt knows dbt as a second process alone: it imports everything again for each pass, 3 s of processor time, and
opens an adapter of its own beside it. What it makes of dbt's events is used unchanged.

References
----------
https://docs.getdbt.com/reference/programmatic-invocations
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.asset_utils import get_updated_cli_invocation_params_for_context
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage


class DbtFailureError(Exception):
    """A pass did not come to its end, or a model of it failed; the message is dbt's own."""


@dataclass(frozen=True)
class InProcessDbt:
    """`assets.ports.Dbt` over dbt's programmatic interface.

    Parameters
    ----------
    folder : Path
        The dbt project, with its profile. The profile reads the warehouse's file from the environment.
    manifest : Path
        Its parsed state (``partial_parse.msgpack``), which spares dbt a parse per pass.
    """

    folder: Path
    manifest: Path

    def stream(self, arguments: Sequence[str], context: Any, target: Path) -> Iterator[Any]:
        """Run dbt over the assets that `context` asks for and yield their results as they come.

        Raises
        ------
        DbtFailureError
            After the last result, where dbt did not succeed or told of an error.
        """
        from dbt.cli.main import dbtRunner  # noqa: PLC0415 - seconds to import
        from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415
        from dbt_common.events.functions import msg_to_dict  # noqa: PLC0415

        asked = get_updated_cli_invocation_params_for_context(context, {}, DagsterDbtTranslator())
        indirect = ["--indirect-selection", asked.indirect_selection] if asked.indirect_selection else []
        command = [
            # dbt's log is a file in its target folder; its results are events and checks of the run.
            "--quiet", "--no-use-colors", "--log-level", "none", "--log-level-file", "debug", "--log-path", str(target),
            # The manifest is there already and results come as events: writing both again costs a second per pass.
            "--no-write-json", "--no-send-anonymous-usage-stats",
            *arguments, *asked.selection_args, *indirect,
            "--project-dir", str(self.folder), "--profiles-dir", str(self.folder), "--target-path", str(target),
        ]  # fmt: skip
        messages: SimpleQueue[Any] = SimpleQueue()

        def invoke() -> Any:
            try:
                # A run writes into its manifest: each has its own.
                manifest = Manifest.from_msgpack(self.manifest.read_bytes())
                return dbtRunner(manifest=manifest, callbacks=[messages.put]).invoke(command)
            finally:
                try:
                    _release_file()
                finally:
                    messages.put(None)

        errors: list[str] = []
        # Where the run is interrupted, leaving the pool waits for the pass: nothing is cut off in the middle of a table.
        with ThreadPoolExecutor(1, thread_name_prefix="dbt") as pool:
            done = pool.submit(invoke)
            for message in iter(messages.get, None):
                if message.info.level == "debug":
                    continue
                if message.info.level == "error":
                    errors.append(message.info.msg)
                event = DbtCoreCliEventMessage(raw_event=msg_to_dict(message), event_history_metadata={})
                yield from event.to_default_asset_events(
                    manifest=asked.manifest,
                    dagster_dbt_translator=asked.dagster_dbt_translator,
                    context=context,
                    target_path=target,
                    project=None,
                )
            result = done.result()
        if errors or not result.success:
            raise DbtFailureError("\n".join(errors) or str(result.exception))


def _release_file() -> None:
    """Close the warehouse: dbt-duckdb keeps it open to the end of the process, and the file has one writer."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415 - seconds to import

    opened: Any = DuckDBConnectionManager._ENV
    if opened is not None:  # dbt may have stopped before it opened anything
        try:
            opened.close()
        finally:
            DuckDBConnectionManager.close_all_connections()
