"""The report and the published snapshot as assets. Thin: numbers, charts and page are beside it."""

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    asset,
)

from assets.lake.frame import OWNERS, days_of
from assets.partitions import DAILY, EDITION_TAG, ONE_RUN, WAREHOUSE_POOL
from assets.ports import Warehouse
from quality.schemas.marts import MARTS


def build_report_assets() -> list[AssetsDefinition]:
    """Return the daily stress report and the published snapshot."""
    marts = [AssetKey(["marts", name]) for name in MARTS]

    @asset(
        key=AssetKey(["reports", "stress_report"]),
        deps=marts,
        description=(
            "The daily stress report: one HTML page per language, its numbers as JSON, and each mart's rows of the day as"
            " Parquet. One folder per UTC day, and editions that the schedule keeps. It states conditions and error; it advises nobody."
        ),
        partitions_def=DAILY,
        backfill_policy=ONE_RUN,
        group_name="report",
        kinds={"html", "json", "parquet"},
        owners=OWNERS,
        pool=WAREHOUSE_POOL,
    )
    def stress_report(context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]) -> MaterializeResult:
        from assets.report.write import keep_edition, write_report  # noqa: PLC0415 - matplotlib is slow to import

        edition = context.run.tags.get(EDITION_TAG)
        pages = []
        input_sha256 = warehouse.input_sha256()
        with warehouse.connect() as con:
            for day in days_of(context):
                files = write_report(con, day, warehouse.reports, input_sha256=input_sha256)
                pages.append(str(files.html))
                if edition is not None:
                    keep_edition(files.html.parent, edition)
        return MaterializeResult(
            metadata={
                "pages": MetadataValue.json(pages),
                "page": MetadataValue.path(pages[-1]),
                "input_sha256": input_sha256,
            }
        )

    @asset(
        key=AssetKey(["published", "marts"]),
        deps=marts,
        description=(
            "The published snapshot: schema marts alone, in a file that is swapped by rename, so that readers never wait"
            " for a writer and never see half of one. `lowtide sql` and BI tools read it."
        ),
        partitions_def=DAILY,
        backfill_policy=ONE_RUN,
        group_name="report",
        kinds={"duckdb"},
        owners=OWNERS,
        pool=WAREHOUSE_POOL,
    )
    def published(context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]) -> MaterializeResult:
        rows = warehouse.publish()
        return MaterializeResult(metadata={"dagster/row_count": sum(rows.values()), "tables": MetadataValue.json(rows)})

    return [stress_report, published]
