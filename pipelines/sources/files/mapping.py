"""Import mappings: the declaration that brings somebody's files into the raw tables.

Belongs here: the form of a mapping, loading it, clear words where it is wrong. Does not: reading files
(``reading.py``), applying a mapping to their rows (``columns.py``). Every key is explained in
docs/importing.md.
"""

from __future__ import annotations

import re
import string
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.tables import Table

Clock = Literal["iso", "date", "epoch", "epoch_s", "epoch_ms", "epoch_us"]
Format = Literal[
    "csv", "csv.gz", "csv.zip", "parquet", "ccxt_tiers", "sided_bands", "book_levels", "aave_calls", "etf_table"
]

SHIPPED_FOLDER = Path(__file__).with_name("mappings")

# Columns that the import itself fills.
FILLED = ("payload_sha256",)
# Sources that are not imports: a mapping of this name would mix its generations with those of the exchange clients.
RESERVED_NAMES = ("ccxt",)
DEFAULT = "default"


class MappingError(ValueError):
    """A mapping is wrong; the message names the file, the key, the reason and what is expected."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Strict):
    """A value that depends on other columns of the row: the longest key that fits wins, then ``default``."""

    by: tuple[str, ...] = Field(min_length=1, max_length=2)
    choose: dict[str, str | float] = Field(min_length=1)


class Later(_Strict):
    """How much later than its stamp a thing was; `from_file_date` where files of earlier days stamp it rightly."""

    seconds: float
    from_file_date: date | None = None


class ColumnRule(_Strict):
    """Where a column of a raw table comes from.

    One of column, value, path_part, file_stem, file_date, capture_day, by + choose, after.
    """

    column: str | None = None
    value: str | float | None = None
    path_part: str | None = None
    file_stem: Literal[True] | None = None
    file_date: Literal[True] | None = None
    capture_day: Literal[True] | None = None
    by: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=2)
    choose: dict[str, str | float] | None = Field(default=None, min_length=1)
    after: str | None = None
    hours: float | None = Field(default=None, gt=0)
    clock: Clock | None = None
    map: dict[str, str] | None = Field(default=None, min_length=1)
    scale: float | Choice | None = None
    times: str | None = None
    per: str | None = None
    extract: str | None = None
    later: Later | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnRule:
        origins = {
            "column": self.column,
            "value": self.value,
            "path_part": self.path_part,
            "file_stem": self.file_stem,
            "file_date": self.file_date,
            "capture_day": self.capture_day,
            "choose": self.choose,
            "after": self.after,
        }
        given = [name for name, value in origins.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(origins)}; given: {', '.join(given) or 'none'}")
        if (self.by is None) != (self.choose is None):
            raise ValueError("`by` and `choose` belong together")
        if (self.after is None) != (self.hours is None):
            raise ValueError("`after` and `hours` belong together")
        of_column = (self.clock, self.map, self.scale, self.times, self.per, self.extract, self.later)
        if self.column is None and any(x is not None for x in of_column):
            raise ValueError("`clock`, `map`, `scale`, `times`, `per`, `extract` and `later` belong to a `column`")
        if self.extract is not None:
            _extracts(self.extract)
        if self.scale is not None and not isinstance(self.scale, Choice) and self.scale <= 0:
            raise ValueError("`scale` must be above 0")
        return self

    @property
    def choice(self) -> Choice | None:
        """The rule's own choice, None where it has another origin."""
        return Choice(by=self.by, choose=self.choose) if self.by and self.choose else None


class FileRule(_Strict):
    """One kind of file of a mapping and the raw table that it fills."""

    files: str = Field(min_length=1)
    dataset: str
    format: Format
    required: bool = True
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    skip_where_blank: tuple[str, ...] = ()
    path: str | None = None
    header: tuple[str, ...] = ()
    checksum: bool = False
    within_file_date: bool = False
    keep: Literal["first_of_hour"] | None = None
    columns: dict[str, ColumnRule]

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: object) -> object:
        """Read ``open_quote: o`` as ``open_quote: {column: o}``."""
        if isinstance(data, dict) and isinstance(data.get("columns"), dict):
            columns = {k: {"column": v} if isinstance(v, str) else v for k, v in data["columns"].items()}
            return {**data, "columns": columns}
        return data

    @model_validator(mode="after")
    def _fits_its_table(self) -> FileRule:
        _below(self.files)
        if self.dataset not in RAW_TABLES:
            raise ValueError(f"dataset `{self.dataset}` is not one of {', '.join(RAW_TABLES)}")
        table = RAW_TABLES[self.dataset]
        faults = [*_column_faults(table, self.columns)]
        groups = _pattern(self.path, "path").groupindex if self.path else {}
        faults += [
            f"column `{n}`: `path_part: {r.path_part}` is no named group of `path`"
            for n, r in self.columns.items()
            if r.path_part is not None and r.path_part not in groups
        ]
        if (self.within_file_date or self.keep) and DAY_CLOCK[self.dataset] is None:
            faults.append(f"`within_file_date` and `keep` need rows with a clock; {self.dataset} is a snapshot")
        for name, rule in self.columns.items():
            if name in table.raw_schema and name not in FILLED:
                faults += [f"column `{name}`: {fault}" for fault in _rule_faults(table, self.columns, name, rule)]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Columns of the file that the mapping reads, each once."""
        read = [c for r in self.columns.values() for c in (r.column, r.times, r.per) if c is not None]
        return tuple(dict.fromkeys([*read, *self.skip_where_blank]))

    @property
    def is_thinned(self) -> bool:
        """True where of many rows of a time one is kept: a row left out is then no loss."""
        return self.keep is not None or self.format == "book_levels"

    def parts_of(self, path: Path) -> dict[str, str] | None:
        """Return the named pieces of a file's path; None where the path is not of this kind."""
        return _parts_of(self.path, path)


class RefusedFiles(_Strict):
    """Files that an archive holds and a mapping must not take: why, and what to do."""

    files: str = Field(min_length=1)
    path: str | None = None
    reason: str = Field(min_length=1)
    what_to_do: str = Field(min_length=1)

    @model_validator(mode="after")
    def _reads(self) -> RefusedFiles:
        _below(self.files)
        if self.path is not None:
            _pattern(self.path, "path")
        return self

    def parts_of(self, path: Path) -> dict[str, str] | None:
        """Return the named pieces of a file's path; None where the path is not of this kind."""
        return _parts_of(self.path, path)


def _below(files: str) -> None:
    pattern = PurePosixPath(files)
    if pattern.is_absolute() or ".." in pattern.parts or "\\" in files:
        raise ValueError(f"`files: {files}` must be a name or pattern below the imported folder")


def _pattern(text: str, key: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"`{key}` is no regular expression ({error})") from error


def _extracts(text: str) -> None:
    if _pattern(text, "extract").groups != 1:
        raise ValueError("`extract` must have exactly one group in brackets")
    try:
        # The rows are read by another engine, which knows no look-around.
        pl.Series([""]).str.extract(text)
    except pl.exceptions.PolarsError as error:
        raise ValueError("`extract` is no regular expression without look-around and references") from error


def _parts_of(pattern: str | None, path: Path) -> dict[str, str] | None:
    """Match the end of a path, from a folder's or the file's first letter on."""
    if pattern is None:
        return {}
    found = re.search(rf"(?:^|/)(?:{pattern})\Z", path.absolute().as_posix())
    return None if found is None else {k: v for k, v in found.groupdict().items() if v is not None}


class Mapping(_Strict):
    """An import mapping; its name is the `source` of every row that it lands."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    about: str = ""
    files: tuple[FileRule, ...] = Field(min_length=1)
    refuse: tuple[RefusedFiles, ...] = ()

    @model_validator(mode="after")
    def _own_name(self) -> Mapping:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"the name `{self.name}` is taken by a source that is not an import: choose another")
        return self

    @property
    def datasets(self) -> tuple[str, ...]:
        """Raw datasets that the mapping fills, each once, in the mapping's order."""
        return tuple(dict.fromkeys(rule.dataset for rule in self.files))


def _column_faults(table: Table, columns: dict[str, ColumnRule]) -> list[str]:
    faults = []
    own = [c for c in table.columns if c not in FILLED]
    unknown = [c for c in columns if c not in own]
    if unknown:
        faults.append(f"{table.name} has no column {', '.join(f'`{c}`' for c in unknown)}; it has {', '.join(own)}")
    missing = [c for c in own if c not in columns and c not in table.nullable]
    if missing:
        faults.append(f"{table.name} needs {', '.join(f'`{c}`' for c in missing)}")
    return faults


def _rule_faults(table: Table, columns: dict[str, ColumnRule], name: str, rule: ColumnRule) -> list[str]:
    dtype = table.raw_schema[name]
    is_number, is_time, is_text = dtype == pl.Float64(), dtype.is_temporal(), dtype == pl.String()
    faults = [
        f"{keys} {place}"
        for keys, is_given, fits, place in (
            ("`clock`", rule.clock, is_time, "belongs to an instant or a day"),
            ("`later`", rule.later, is_time, "belongs to an instant or a day"),
            ("`scale`", rule.scale is not None, is_number, "belongs to a number"),
            ("`times` and `per`", rule.times or rule.per, is_number, "belong to a number"),
            ("`map` and `file_stem`", rule.map or rule.file_stem, is_text, "belong to a text"),
            ("`path_part` and `extract`", rule.path_part or rule.extract, is_text, "belong to a text"),
            ("`file_date`", rule.file_date, is_time, "belongs to an instant or a day"),
        )
        if is_given and not fits
    ]
    if dtype == pl.Int64() and rule.column is None:
        faults.append("a whole number comes from a `column`")
    if rule.capture_day and dtype != pl.Date():
        faults.append("`capture_day` belongs to a day")
    if rule.after is not None and (not is_time or table.raw_schema.get(rule.after) != dtype or rule.after == name):
        faults.append(f"`after: {rule.after}` must name another instant of {table.name}")
    if rule.value is not None and (is_time or isinstance(rule.value, str) != is_text):
        faults.append("`value` must be a text for a text column and a number for a number column")
    for choice in (rule.choice, rule.scale if isinstance(rule.scale, Choice) else None):
        if choice is not None:
            faults += _choice_faults(table, columns, name, choice, wants_text=is_text)
    return faults


def _choice_faults(
    table: Table, columns: dict[str, ColumnRule], name: str, choice: Choice, *, wants_text: bool
) -> list[str]:
    def is_plain(other: str) -> bool:
        rule = columns.get(other)
        return rule is not None and rule.choice is None and other != name and table.raw_schema.get(other) == pl.String()

    faults = [
        f"`by` names `{c}`, which is not a text column with an origin of its own" for c in choice.by if not is_plain(c)
    ]
    for key, value in choice.choose.items():
        if key.count("/") >= len(choice.by):
            faults.append(f"`choose: {key}` has more parts than `by`")
        if isinstance(value, str) != wants_text:
            faults.append(f"`choose: {key}` must be a {'text' if wants_text else 'number'}")
        if not isinstance(value, str) and value <= 0:
            faults.append(f"`choose: {key}` must be above 0")
        if isinstance(value, str):
            try:
                wanted = template_columns(value)
            except ValueError as error:
                faults.append(f"`choose: {key}`: {error}")
                continue
            faults += [f"`choose: {key}` names {{{c}}}, which is not such a column" for c in wanted if not is_plain(c)]
    return faults


def template_columns(template: str) -> list[str]:
    """Return the columns that a template such as ``{asset}USDT`` names.

    Raises
    ------
    ValueError
        Where a brace does not close or holds more than a name.
    """
    return [column for _, column in template_parts(template) if column is not None]


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Return the pieces of a template: text, then the column that follows it or None."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"the template `{template}` cannot be read ({error})") from error
    if any(spec or conversion for _, _, spec, conversion in parsed):
        raise ValueError(f"the template `{template}` cannot be read (only a column's name may stand in braces)")
    return [(text, column) for text, column, _, _ in parsed]


def shipped_mappings() -> list[Mapping]:
    """Return the mappings that come with Lowtide, by name."""
    return [load_mapping(path) for path in sorted(SHIPPED_FOLDER.glob("*.yml"))]


def load_mapping(name_or_path: str | Path) -> Mapping:
    """Load a mapping.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped mapping, or the path of a YAML file (``.yml`` or ``.yaml``).

    Raises
    ------
    MappingError
        Where there is none, or where it is wrong.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yml", ".yaml"):
        known = sorted(p.stem for p in SHIPPED_FOLDER.glob("*.yml"))
        if str(name_or_path) not in known:
            raise MappingError(
                f"mapping {str(name_or_path)!r:.200} is not one of {', '.join(known)}: name one of them or a .yml file of your own"
            )
        path = SHIPPED_FOLDER / f"{name_or_path}.yml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MappingError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise MappingError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        raise MappingError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise MappingError(f"{path}: holds no mapping: begin with `name:` and `files:` (docs/importing.md)")
    try:
        return Mapping.model_validate(data)
    except ValidationError as error:
        raise MappingError(f"{path}: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    said = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"] if part not in ("str", "float", "Choice", "literal[True]"))
        reason = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            reason = "is not a key of a mapping"
        elif fault["type"] == "missing":
            reason = "is missing"
        said.append(f"{where or 'mapping'}: {reason}")
    return " | ".join(dict.fromkeys(said))
