"""The one partition dimension of the graph: the UTC day. Venues are separate assets, never a second dimension."""

from __future__ import annotations

import warnings

from dagster import BackfillPolicy, BetaWarning, DailyPartitionsDefinition

# One parameter that we use on purpose is announced as beta at every asset; every other warning stays.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`", category=BetaWarning)

# BitMEX's first perpetual is of 2016; before that there is no leverage record to gather. Without the offset of 1 the
# open day has no partition and could not be refreshed hourly.
DAILY = DailyPartitionsDefinition(start_date="2016-01-01", end_offset=1)

# A range of days is one run: a process and two dbt passes per day would cost more than the work.
ONE_RUN = BackfillPolicy.single_run()

# Only the steps that write the DuckDB file hold this pool, and its size is one.
WAREHOUSE_POOL = "warehouse"

# The schedule names here which edition of a day a run makes: preliminary or final.
EDITION_TAG = "lowtide/edition"
