"""Which files of a place a mapping takes, leaves alone, or refuses.

Belongs here: patterns and paths. Does not: their form in a mapping (``mapping.py``), what is in a file
(``reading.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.sources.files.archives import CHECKSUM_SUFFIX
from pipelines.sources.files.mapping import FileRule, Mapping
from pipelines.sources.files.refusal import ImportRefused, printable


def find_files(mapping: Mapping, place: Path) -> tuple[list[tuple[Path, str, FileRule]], tuple[str, ...]]:
    """Return the files that a mapping takes, with the name to show and their rule, and the names of those left alone.

    Parameters
    ----------
    mapping : Mapping
    place : Path
        A folder in which the mapping's patterns are looked for, or one file that fits one of them.

    Raises
    ------
    ImportRefused
        Where there is none, a required one is missing, or one is of a kind that the mapping refuses.
    """
    shown_place = printable(str(place))
    patterns = ", ".join(dict.fromkeys(rule.files for rule in mapping.files))
    if place.is_file():
        found = [(place, place.name, rule) for rule in mapping.files if _fits(place, rule)]
        if not found:
            _refuse(mapping, [(place, place.name)])
            raise ImportRefused(
                shown_place, "", f"does not fit mapping {mapping.name} ({patterns})", "name another mapping or file"
            )
        return found, ()
    if not place.is_dir():
        raise ImportRefused(shown_place, "", "does not exist", "check the path")
    found = []
    others = (p for kind in mapping.refuse for p in place.rglob(kind.files))
    seen = {p for p in (*place.iterdir(), *others) if p.is_file()}
    for rule in mapping.files:
        paths = sorted(p for p in place.glob(rule.files) if p.is_file())
        seen |= {*paths}
        paths = [p for p in paths if rule.parts_of(p) is not None]
        if not paths and rule.required:
            raise ImportRefused(
                shown_place,
                "",
                f"holds no file {rule.files}, which mapping {mapping.name} requires",
                "add it or mark it `required: false`",
            )
        found += [(p, p.relative_to(place).as_posix(), rule) for p in paths]
    taken = {path for path, _, _ in found}
    left = sorted(p for p in seen - taken if not _is_checksum(p, taken))
    _refuse(mapping, [(p, p.relative_to(place).as_posix()) for p in left])
    if not found:
        raise ImportRefused(
            shown_place, "", f"holds no file of mapping {mapping.name} ({patterns})", "check the folder"
        )
    return found, tuple(printable(p.relative_to(place).as_posix()) for p in left)


def _fits(path: Path, rule: FileRule) -> bool:
    return path in path.parent.glob(rule.files.rpartition("/")[2]) and rule.parts_of(path) is not None


def _is_checksum(path: Path, taken: set[Path]) -> bool:
    return path.name.endswith(CHECKSUM_SUFFIX) and path.with_name(path.name.removesuffix(CHECKSUM_SUFFIX)) in taken


def _refuse(mapping: Mapping, left: Sequence[tuple[Path, str]]) -> None:
    """Stop at a file that looks right and would be read wrongly, or not at all, without a word."""
    for path, shown in left:
        for kind in mapping.refuse:
            if path.match(kind.files) and kind.parts_of(path) is not None:
                raise ImportRefused(shown, "", kind.reason, kind.what_to_do)
