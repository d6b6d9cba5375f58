"""The crypto fear & greed index of alternative.me: its whole history in one answer.

Belongs here: the publisher's address and shape. Does not: asking (``published.py``), laws over the figures (``quality``).

Their terms: free use, also commercial, where the source is named beside the figure.

References
----------
https://alternative.me/crypto/fear-and-greed-index/#api
"""

from __future__ import annotations

from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.publishers.published import Publisher, read_json
from pipelines.sources.records import WrongShape
from pipelines.sources.wire_values import figure, instant, ms_of_seconds, of

INDEX_URL = "https://api.alternative.me/fng/"
# The key that the import of a file gives to the same index.
INDEX_NAME = "fear_greed"


class AlternativeMe(Publisher):
    """Client of alternative.me."""

    venue = "alternative_me"

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return the index of every day."""
        answer = self._ask(INDEX_URL, {"limit": 0, "format": "json"}, _figures)
        return self._capture(
            dataset, [{**self._row(one), "payload_sha256": answer.payload_sha256} for one in answer.value], [answer]
        )

    def _row(self, record: Any) -> dict[str, Any]:
        """Return a record as a row; what cannot be read is missing, and refused with a reason later."""
        at = instant(ms_of_seconds(of(record, "timestamp")))
        return {
            "venue": self.venue,
            "index_name": INDEX_NAME,
            "sentiment_date_utc": None if at is None else at.date(),
            "sentiment_index": figure(of(record, "value")),
        }


def _figures(body: bytes) -> list[Any]:
    answer = read_json(body)
    fault = of(of(answer, "metadata"), "error")
    if fault:
        raise WrongShape(f"says {str(fault)[:100]!r}")
    records = of(answer, "data")
    if not isinstance(records, list) or not records:
        raise WrongShape("holds no list `data` of figures")
    return records
