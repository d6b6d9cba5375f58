"""What stands around a file's bytes: gzip, a zip with one member, the checksum beside it.

Belongs here: unpacking with limits, the member's name, SHA-256 beside a file. Does not: what the bytes say
(``reading.py``).

References
----------
https://github.com/binance/binance-public-data (``<name>.zip`` and ``<name>.zip.CHECKSUM``)
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from pathlib import Path

from pipelines.sources.files.refusal import ImportRefused, printable, short

GZIP_START = b"\x1f\x8b"
ZIP_START = b"PK"
CHECKSUM_SUFFIX = ".CHECKSUM"

_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})(?:  | \*)(.+)")
# Exchange archives unpack to 3 to 12 times their size. Deflate can do 1,000 times: such a file is built to fill memory.
_MOST_TIMES = 100
# Small files may be of one repeated row.
_ALWAYS_FINE_BYTES = 16 * 2**20
_MOST_BYTES = 2 * 2**30
_FETCH_AGAIN = "the file is cut short or damaged: fetch it again"


def checksum_beside(name: str, path: Path, body: bytes) -> bool:
    """Verify a file by the checksum that stands beside it; False where there is none.

    Raises
    ------
    ImportRefused
        Where the two differ, or the checksum names another file or is none.
    """
    beside = path.with_name(path.name + CHECKSUM_SUFFIX)
    try:
        text = beside.read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(
            name, "", f"has a checksum that cannot be read ({short(error)})", _FETCH_CHECKSUM
        ) from error
    found = _CHECKSUM_LINE.fullmatch(text.strip())
    if found is None:
        raise ImportRefused(
            name, "", f"has a checksum file that holds no SHA-256 line ({text[:80]!r})", _FETCH_CHECKSUM
        )
    told, told_name = found.group(1).lower(), found.group(2)
    if told_name != path.name:
        raise ImportRefused(name, "", f"has a checksum file of another file ({told_name})", _FETCH_CHECKSUM)
    ours = hashlib.sha256(body).hexdigest()
    if ours != told:
        raise ImportRefused(
            name,
            "",
            f"has SHA-256 {ours} and its checksum file says {told}",
            "fetch both again; do not import the file",
        )
    return True


_FETCH_CHECKSUM = "fetch the checksum again, or remove it to import without"


def unpacked(name: str, file_name: str, body: bytes) -> bytes:
    """Return the bytes in a gzip or in a zip with one member; others as they are."""
    if body.startswith(ZIP_START):
        return unzipped(name, file_name, body)
    return gunzipped(name, body) if body.startswith(GZIP_START) else body


def gunzipped(name: str, body: bytes) -> bytes:
    """Return the bytes in a gzip.

    Raises
    ------
    ImportRefused
        Where it is cut short or no gzip.
    """
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise ImportRefused(
            name, "", f"cannot be unpacked ({short(error)})", "the file is cut short or not gzip: fetch it again"
        ) from error


def unzipped(name: str, file_name: str, body: bytes) -> bytes:
    """Return the bytes of the one member of a zip: ``X.csv`` in ``X.zip``.

    Raises
    ------
    ImportRefused
        Where it is damaged, holds none, several, a folder, a name that is not its own, a password or far more than its
        size allows.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            member = _only_member(name, file_name, archive.infolist())
            most = min(_MOST_BYTES, max(_ALWAYS_FINE_BYTES, _MOST_TIMES * len(body)))
            if member.file_size > most:
                raise _too_large(name, member.file_size, len(body))
            with archive.open(member) as stream:
                # The size that the zip tells may be a lie; its check sum is compared when the end is reached.
                held = stream.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImportRefused(name, "", f"is no readable zip ({short(error)})", _FETCH_AGAIN) from error
    if len(held) > most:
        raise _too_large(name, len(held), len(body))
    return held


def _only_member(name: str, file_name: str, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    if len(members) != 1:
        raise ImportRefused(
            name,
            "",
            f"holds {len(members)} members, expected one",
            "import the archive's own file, not one packed anew",
        )
    (member,) = members
    # `orig_filename` is what stands in the zip; nothing is ever written under it.
    found, wanted = member.orig_filename, f"{file_name[: -len('.zip')]}.csv"
    if found != wanted:
        raise ImportRefused(
            name,
            "",
            f"holds {printable(found)[:100]!r}, expected {wanted!r}",
            "import the archive's own file unrenamed",
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImportRefused(name, "", f"is packed by method {member.compress_type}", "import the archive's own file")
    if member.flag_bits & 0x1:
        raise ImportRefused(name, "", "is locked with a password", "import the archive's own file")
    return member


def _too_large(name: str, size: int, packed: int) -> ImportRefused:
    return ImportRefused(
        name,
        "",
        f"would unpack from {packed:,} to {size:,} bytes or more",
        f"no archive does: at most {_MOST_TIMES} times its size and {_MOST_BYTES:,} bytes are read",
    )
