"""dbt's parsed manifest, made once per content of the dbt folder.

Dagster's own preparation parses in every process (seconds each); ours parses where the folder's hash has changed, under
a lock, so that many processes may start at once.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from pipelines.settings import DBT_FOLDER

_SOURCES = ("*.sql", "*.yml", "*.csv", "*.md")
_GENERATED = ("target", "logs", "dbt_packages")


class DbtProjectError(Exception):
    """The dbt project does not parse; the message is dbt's own."""


def folder_hash(folder: Path = DBT_FOLDER) -> str:
    """Return the SHA-256 over the names and bytes of the dbt project's sources."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in _SOURCES for p in folder.rglob(pattern)):
        relative = path.relative_to(folder)
        if relative.parts[0] in _GENERATED:
            continue
        digest.update(str(relative).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def ensure_manifest(folder: Path = DBT_FOLDER) -> Path:
    """Return the path of an up-to-date ``manifest.json``; parse where the dbt folder has changed.

    Raises
    ------
    DbtProjectError
        Where dbt refuses the project, with its own words.
    """
    target = folder / "target"
    manifest, stamp = target / "manifest.json", target / "manifest.sha256"
    wanted = folder_hash(folder)
    if _is_fresh(manifest, stamp, wanted):
        return manifest
    target.mkdir(exist_ok=True)
    with FileLock(target / ".parse.lock"):
        if _is_fresh(manifest, stamp, wanted):
            return manifest
        environment = {
            **os.environ,
            # Never opened by a parse, but its stem becomes the database's name in the manifest, as in every home.
            "LOWTIDE_WAREHOUSE": str(target / "warehouse.duckdb"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_WRITE_JSON": "true",
        }
        done = subprocess.run(  # noqa: S603 - our own interpreter and folder
            [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "parse",
             "--project-dir", str(folder), "--profiles-dir", str(folder)],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise DbtProjectError(f"the dbt project in {folder} does not parse:\n{done.stdout}{done.stderr}")
        stamp.write_text(wanted)
    return manifest


def _is_fresh(manifest: Path, stamp: Path, wanted: str) -> bool:
    return manifest.is_file() and stamp.is_file() and stamp.read_text() == wanted
