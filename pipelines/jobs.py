"""Jobs: which assets are materialized together."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

from pipelines.collector.streams import COLLECTED_VENUES

_COLLECTED = ("liquidations", "stream_gaps")
_LAKE = AssetSelection.groups("lake") & AssetSelection.all().materializable()
_FROM_RAW = AssetSelection.all().materializable() - AssetSelection.groups("lake")

JOBS = {
    job.name: job
    for job in (
        define_asset_job(
            "collect_raw",
            selection=_LAKE,
            description="Fetch a range of days from the exchanges into the raw lake; touches no warehouse.",
        ),
        define_asset_job(
            "land_recordings",
            selection=AssetSelection.assets(
                *(["lake", f"{v}_collected_{d}"] for v in COLLECTED_VENUES for d in _COLLECTED)
            ),
            description="Land what the collector recorded; fetches nothing, touches no warehouse.",
        ),
        define_asset_job(
            "build_day",
            selection=_FROM_RAW,
            description="From the raw lake to marts, cascade, report and published snapshot.",
        ),
        define_asset_job(
            "render_report",
            selection=_FROM_RAW - AssetSelection.groups("report") | AssetSelection.assets(["reports", "stress_report"]),
            description="As build_day, without publishing: for reports as of an earlier instant.",
        ),
        define_asset_job(
            "publish_marts",
            selection=_FROM_RAW - AssetSelection.assets(["reports", "stress_report"]),
            description="As build_day, without the report.",
        ),
        define_asset_job(
            "run_day",
            selection=AssetSelection.all().materializable(),
            description="The whole way: exchanges, raw, marts, cascade, report, published snapshot.",
        ),
        define_asset_job(
            "refresh_hour",
            selection=_LAKE | (AssetSelection.groups("raw", "seeds", "staging", "intermediate", "marts")),
            description="Fetch the open day and rebuild the market marts; no cascade, no report.",
        ),
    )
}
