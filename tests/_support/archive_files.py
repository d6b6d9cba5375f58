"""Made-up files in the layouts of public archives: written by the tests, never cut from real records.

Belongs here: bytes of zips, checksums, rows of books. Does not: what an import makes of them.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
ORDERS_HEADER = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
    "accumulated_fill_quantity"
)
DEPTH_HEADER = "timestamp,percentage,depth,notional"


def text_of(header: str | None, rows: Iterable[str]) -> bytes:
    """Return a CSV as bytes, without a header row where none is given."""
    return "".join(f"{line}\n" for line in ([header] if header else []) + list(rows)).encode()


def zip_of(*members: tuple[str, bytes]) -> bytes:
    """Return a zip with these members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0)), body, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def write_zip(folder: Path, name: str, text: bytes, *, checksum: bool = True) -> Path:
    """Write ``name`` (``X.zip`` with its member ``X.csv``) and the checksum beside it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    body = zip_of((path.name.replace(".zip", ".csv"), text))
    path.write_bytes(body)
    if checksum:
        (path.parent / f"{path.name}.CHECKSUM").write_text(f"{hashlib.sha256(body).hexdigest()}  {path.name}\n")
    return path


def epoch(at: datetime, per_second: int = 1000) -> int:
    """Return a UTC instant as a whole number of milliseconds, or of another unit."""
    return round((at - datetime(1970, 1, 1)) / timedelta(seconds=1) * per_second)


def klines(first: datetime, hours: int, *, per_second: int = 1000, volume: str = "7.5") -> list[str]:
    """Return hourly candles; base volume 7.5 and quote volume 750."""
    rows = []
    for i in range(hours):
        opened = epoch(first + timedelta(hours=i), per_second)
        rows.append(f"{opened},100,110,90,105,{volume},{opened + 3600 * per_second - 1},750,9,1,2,0")
    return rows


def metrics(first: datetime, count: int, symbol: str = "BTCUSDT") -> list[str]:
    """Return rows every 5 minutes; the open interest counts up from 1000."""
    return [
        f"{first + timedelta(minutes=5 * i)},{symbol},{1000 + i},{(1000 + i) * 100},1.1,1.2,1.3,1.4"
        for i in range(count)
    ]


def book(at: datetime | str, bids: Sequence[tuple[float, float]], asks: Sequence[tuple[float, float]]) -> list[str]:
    """Return a book as bands: (depth, mean price) of 1, 2, ... percent on each side, nearest first."""
    rows = [f"{at},-{k},{d},{d * p}" for k, (d, p) in reversed(list(enumerate(bids, 1)))]
    return rows + [f"{at},{k},{d},{d * p}" for k, (d, p) in enumerate(asks, 1)]


def sound_book(at: datetime | str, i: int = 0) -> list[str]:
    """Return a sound book around 100 whose quantities depend on `i`."""
    return book(
        at,
        [((k + i / 1000) * 10, 100 - k / 2) for k in range(1, 6)],
        [((k + i / 700) * 11, 100 + k / 2) for k in range(1, 6)],
    )


def crossed_book(at: datetime | str, i: int = 0) -> list[str]:
    """Return a book in which a dead bid at 108 is all that is left of the nearest band."""
    return book(
        at,
        [(17.5, 108.0), *(((k + i / 1000) * 10, 100 - k / 2) for k in range(2, 6))],
        [((k + i / 700) * 11, 100 + k / 2) for k in range(1, 6)],
    )
