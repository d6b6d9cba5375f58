"""What a table is: columns from the dictionary, a grain, and row rules with reason codes.

Belongs here: the `Field`, `Rule` and `Table` types, how a Table becomes a pandera schema, and how raw rows are split into
good ones and rejected ones. Does not: the tables themselves (``quality/schemas``), the words (``quality/fields``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandera.polars as pa
import polars as pl

from quality.units import sql_type_of

POLARS_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
    "DOUBLE": pl.Float64(),
    "BIGINT": pl.Int64(),
}

# Nobody announces a day further ahead: beyond it a year was mistyped.
ANNOUNCED_DAYS = 3_653

_OBSERVED_CLOCKS = ("_at_utc", "_start_utc", "_date_utc")

REJECTED_COLUMNS: dict[str, pl.DataType] = {
    "row_count": pl.Int64(),
    "field": pl.String(),
    "reason": pl.String(),
    "record_json": pl.String(),
}


@dataclass(frozen=True)
class Field:
    """One word of the column dictionary. The type follows from the unit in the name."""

    name: str
    doc: str

    @property
    def sql_type(self) -> str:
        """Type of the column in marts and sim tables."""
        return sql_type_of(self.name) or "VARCHAR"

    @property
    def raw_type(self) -> pl.DataType:
        """Type of the column in raw Parquet: figures stay DOUBLE as the venue gave them; staging casts."""
        sql = self.sql_type
        return pl.Float64() if sql.startswith("DECIMAL") else POLARS_TYPES[sql]


@dataclass(frozen=True)
class Rule:
    """A row law of a raw table.

    Parameters
    ----------
    reason : str
        Code that a rejected row carries, for example ``high_below_low``.
    field : str
        Column to name in the message.
    bad : polars.Expr
        True where the row breaks the law. Null counts as not broken; nullability is its own rule.
    sentence : str
        The law as a sentence that is true when it holds; it becomes the check's name.
    """

    reason: str
    field: str
    bad: pl.Expr
    sentence: str


@dataclass(frozen=True)
class Table:
    """A table of the warehouse: its address, grain, columns and row rules.

    `grain` is the set of columns that is unique together. `nullable` names the columns that may be missing. `group_rules` are
    laws of rows that stand or fall together, for example the tiers of one ladder: their `bad` may look at a row's neighbours.
    `ahead` names the days that may lie ahead of us, because they were announced; not by more than ten years.
    """

    schema: str
    name: str
    description: str
    grain: tuple[str, ...]
    fields: tuple[Field, ...]
    nullable: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    group_rules: tuple[Rule, ...] = ()
    ahead: frozenset[str] = frozenset()
    schema_version: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(f.name for f in self.fields)

    @property
    def address(self) -> str:
        """`schema.table`, which is also the asset key and the dbt address."""
        return f"{self.schema}.{self.name}"

    @property
    def raw_schema(self) -> dict[str, pl.DataType]:
        """Polars schema of the raw Parquet."""
        return {f.name: f.raw_type for f in self.fields}

    def empty_raw(self) -> pl.DataFrame:
        """Return a raw frame with no row and the right types."""
        return pl.DataFrame(schema=self.raw_schema)

    def record_json(self) -> pl.Expr:
        """Return `record_json`: a row of `raw_schema` as text. A time that no calendar holds is shown as its number."""
        shown = []
        for f in self.fields:
            cell = pl.col(f.name)
            if f.raw_type.is_temporal():
                # Formatting one beyond the calendar ends the process, and both branches of a condition see every row.
                first, last = (pl.lit(d).cast(f.raw_type).to_physical() for d in (date.min, date.max))
                known = pl.when(cell.to_physical().is_between(first, last)).then(cell)
                cell = pl.coalesce(known.dt.to_string("iso"), cell.to_physical().cast(pl.String)).alias(f.name)
            shown.append(cell)
        return pl.struct(shown).struct.json_encode().alias("record_json")

    def pandera_schema(self, *, unique: tuple[str, ...] | None = None) -> pa.DataFrameSchema:
        """Return the pandera schema of the raw frame: types, nullability, row rules, unique grain.

        `unique` overrides the grain, for a relation that holds several sources or captures of the same thing.
        """
        columns: dict[str, pa.Column] = {}
        for f in self.fields:
            checks = [_as_check(r) for r in (*self.rules, *self.group_rules) if r.field == f.name]
            columns[f.name] = pa.Column(f.raw_type, nullable=f.name in self.nullable, checks=checks, description=f.doc)
        return pa.DataFrameSchema(
            columns,
            strict=True,
            ordered=True,
            unique=list(self.grain if unique is None else unique) or None,
            name=self.address,
            description=self.description,
        )

    def split(self, frame: pl.DataFrame, *, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Split raw rows into good and rejected ones; nothing is lost.

        Parameters
        ----------
        frame : polars.DataFrame
            Columns of `raw_schema` plus ``row_count`` (Int64, the row's place in its file or payload, 1 = first).
        now : datetime
            Our clock, UTC, naive. Instants more than a day ahead of it are refused.

        Returns
        -------
        good : polars.DataFrame
            Columns of `raw_schema`, valid under `pandera_schema`, sorted by grain.
        rejected : polars.DataFrame
            Columns of ``REJECTED_COLUMNS``: the place, the first broken field, its reason code, the record as JSON.
        """
        judged = frame.with_columns(*_first_broken(self._row_laws(now)))
        # A repeated key among otherwise good rows: the first is kept where all repeats say the same; where they differ
        # nobody knows which is right, so all of them are rejected.
        values = [c for c in self.columns if c not in self.grain and c != "payload_sha256"]
        good = judged.filter(pl.col("__reason").is_null())
        if good.height:
            groups = good.with_columns(
                pl.len().over(self.grain).alias("__n"),
                pl.col("row_count").rank("ordinal").over(self.grain).alias("__k"),
                (pl.struct(values).n_unique().over(self.grain) if values else pl.lit(1)).alias("__u"),
            )
            dup = groups.filter((pl.col("__n") > 1) & ((pl.col("__u") > 1) | (pl.col("__k") > 1)))
            dup = dup.with_columns(
                pl.when(pl.col("__u") > 1)
                .then(pl.lit("duplicate_key_conflict"))
                .otherwise(pl.lit("duplicate_key"))
                .alias("__reason"),
                pl.lit(self.grain[-1]).alias("__field"),
            )
            good = groups.filter(~((pl.col("__n") > 1) & ((pl.col("__u") > 1) | (pl.col("__k") > 1))))
            bad_rows = pl.concat([judged.filter(pl.col("__reason").is_not_null()), dup.select(judged.columns)])
        else:
            bad_rows = judged.filter(pl.col("__reason").is_not_null())
        # A row that falls may take its group along, so the groups are judged again until no further row falls.
        group_laws = [(r.reason, r.field, r.bad) for r in self.group_rules]
        while group_laws and good.height:
            again = good.select(frame.columns).with_columns(*_first_broken(group_laws))
            good = again.filter(pl.col("__reason").is_null())
            if good.height == again.height:
                break
            bad_rows = pl.concat([bad_rows, again.filter(pl.col("__reason").is_not_null()).select(judged.columns)])
        rejected = bad_rows.sort("row_count").select(
            "row_count",
            pl.col("__field").alias("field"),
            pl.col("__reason").alias("reason"),
            self.record_json(),
        )
        kept = good.select(self.columns).sort(self.grain)
        self.pandera_schema().validate(kept)
        return kept, rejected

    def _row_laws(self, now: datetime) -> list[tuple[str, str, pl.Expr]]:
        laws: list[tuple[str, str, pl.Expr]] = []
        for f in self.fields:
            if f.name not in self.nullable:
                laws.append(("missing_value", f.name, pl.col(f.name).is_null()))
            if f.raw_type == pl.Float64():
                col = pl.col(f.name)
                laws.append(("not_finite", f.name, col.is_nan() | col.is_infinite()))
            if f.name.endswith(_OBSERVED_CLOCKS):
                col = pl.col(f.name).cast(pl.Datetime("us"))
                # Milliseconds read as seconds land in the far future, seconds read as milliseconds in January 1970.
                laws.append(("clock_before_1980", f.name, col < pl.lit(datetime(1980, 1, 1))))
                latest = now + timedelta(days=ANNOUNCED_DAYS if f.name in self.ahead else 1)
                laws.append(("clock_in_future", f.name, col > pl.lit(latest)))
        laws += [(r.reason, r.field, r.bad) for r in self.rules]
        return laws


def _first_broken(laws: list[tuple[str, str, pl.Expr]]) -> tuple[pl.Expr, pl.Expr]:
    """Return the reason code and the field of the first law that a row breaks, both null where it breaks none."""
    reason = pl.lit(None, pl.String)
    where = pl.lit(None, pl.String)
    for code, name, bad in reversed(laws):
        broken = bad.fill_null(False)
        reason = pl.when(broken).then(pl.lit(code)).otherwise(reason)
        where = pl.when(broken).then(pl.lit(name)).otherwise(where)
    return reason.alias("__reason"), where.alias("__field")


def _as_check(rule: Rule) -> pa.Check:
    def holds(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((~rule.bad.fill_null(False)).alias(rule.sentence))

    return pa.Check(holds, name=rule.sentence, error=rule.reason)
