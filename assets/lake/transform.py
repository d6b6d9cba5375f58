"""From a source's capture to batches for the lake. Pure: no Dagster, no disk, no clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

import polars as pl

from assets.ports import Capture, RawBatch, RawKey, Recording
from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.tables import Table


def batches_of(
    capture: Capture,
    *,
    dataset: str,
    venue: str,
    source: str,
    days: Sequence[date],
    now: datetime,
    is_synthetic: bool,
    adds_to_day: bool = False,
) -> list[RawBatch]:
    """Validate a capture and split it by the UTC day of the venue's clock.

    Parameters
    ----------
    capture : Capture
        Rows as the source's client parsed them.
    days : sequence of date
        The days that were asked for. Each gets a batch, also where the venue had nothing: empty is not missing.
        A snapshot dataset has one batch, under the capture day.
    now : datetime
        Our clock, UTC, naive.
    adds_to_day : bool
        Of `RawBatch`.

    Returns
    -------
    list of RawBatch
        In day order. A rejected row whose day is unknown or was not asked for stands under the first day.
    """
    table = RAW_TABLES[dataset]
    clock = DAY_CLOCK[dataset]
    wanted = [now.date()] if clock is None else sorted(days)
    day = pl.lit(wanted[0]) if clock is None else pl.col(clock).dt.date()
    placed = capture.rows.with_columns(
        # An unknown day (a missing clock) is judged with the first day, where it is rejected.
        day.fill_null(wanted[0]).is_in(wanted).alias("__asked"),
        pl.when(day.is_in(wanted)).then(day).otherwise(pl.lit(wanted[0])).fill_null(wanted[0]).alias("__day"),
    )
    strays = _strays(placed.filter(~pl.col("__asked")), table, clock)
    # Judged once: the clock is part of every grain, so that no law looks over the border of two days.
    good, refused = table.split(placed.filter("__asked").drop("__asked", "__day"), now=now)
    refused = refused.join(placed.select("row_count", "__day"), on="row_count", how="left", validate="m:1")
    refused = pl.concat([refused, strays.with_columns(pl.lit(wanted[0]).alias("__day"))]).sort("row_count")
    batches = []
    for one in wanted:
        batches.append(
            RawBatch(
                key=RawKey(dataset, venue, source, one),
                rows=good if clock is None else good.filter(pl.col(clock).dt.date() == one),
                rejected=refused.filter(pl.col("__day") == one).drop("__day"),
                payloads=capture.payloads,
                origin_note=capture.origin_note,
                is_synthetic=is_synthetic,
                adds_to_day=adds_to_day,
            )
        )
    return batches


def batches_of_recording(
    recording: Recording, *, venue: str, source: str, day: date, now: datetime, is_synthetic: bool
) -> list[RawBatch]:
    """Validate a recorded day: a batch of liquidations, with the messages that could not be read among its refused rows, and one of gaps."""
    batches = []
    for dataset, capture in (("liquidations", recording.liquidations), ("stream_gaps", recording.gaps)):
        batches += batches_of(
            capture, dataset=dataset, venue=venue, source=source, days=[day], now=now, is_synthetic=is_synthetic
        )
    refused = pl.concat([batches[0].rejected, recording.refused]).sort("row_count")
    return [replace(batches[0], rejected=refused), *batches[1:]]


def _strays(rows: pl.DataFrame, table: Table, clock: str | None) -> pl.DataFrame:
    """Return rows of days that nobody asked for as rejected rows: a venue that answers beside the question is noted."""
    return rows.select(
        "row_count",
        pl.lit(clock, pl.String).alias("field"),
        pl.lit("not_asked_for").alias("reason"),
        table.record_json(),
    )
