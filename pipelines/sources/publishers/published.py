"""What clients of public figures share: one question over plain HTTP, its body kept, its failure told in one code.

Belongs here: the way from a URL to an answer, whoever publishes. Does not: any publisher's addresses and shapes
(``alternative_me.py`` and its siblings, one class each), which publishers there are (``registry.py``), exchanges (``venue.py``),
retries, blocks and refusals (``door.py``), validation (``quality``).

To add a publisher: a class beside this one, its line in ``registry.py``, its row in ``dbt/seeds/venues.csv``, its pages in a
``pipelines/sandbox/wire_*.py``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from typing import Any, ClassVar

import requests
from pydantic import SecretStr

from assets.ports import Capture, Clock, PayloadKeeper, SourceOutage
from pipelines.sources.chains.addresses import checked_base_url, redacted, rehosted
from pipelines.sources.door import LEAST_BAN_S, RATE_LIMIT_STATUS, Door, Retryable, RetryPolicy, host_of
from pipelines.sources.gate import Gate
from pipelines.sources.gathered import Gathered
from pipelines.sources.records import WrongShape
from pipelines.sources.transport import Answer


def _withhold(record: logging.LogRecord) -> bool:
    """Let a line of urllib3's log through without the query values that are not known to be safe: it logs whole addresses."""
    if isinstance(record.args, tuple):
        record.args = tuple(redacted(a) if isinstance(a, str) and "?" in a else a for a in record.args)
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_withhold)

# Seconds to connect, and between two pieces of a body: some pages are made while one waits.
TIMEOUT_S = (10.0, 60.0)


class Publisher(ABC):
    """Client of one publisher (``assets.ports.PublishedSource``); every fault of the publisher is a `SourceOutage`.

    Parameters
    ----------
    lake : PayloadKeeper
        Keeps the bodies of all answers.
    clock : Clock
        Ours.
    is_synthetic : bool
        True for the sandbox, which is on loopback, and only for it.
    base_url : str or None
        Another host for all of the publisher's paths: the sandbox on loopback, or a mirror (https). None: its own hosts.
    policy, gate, sleep
        Of the door; a gate with a folder shares budget and blocks between processes.

    Raises
    ------
    ValueError
        Where `base_url` is no plain http(s) address, a foreign host is not https, or `is_synthetic` and loopback disagree.
    """

    venue: str
    source: str = "publisher"
    # True where every look shows the same days, whatever was asked for.
    shows_all: bool = False
    # Seconds of the host's time that a request costs. No publisher here tells its limits in a header; one a second is polite.
    cost_s: ClassVar[float] = 1.0
    # Seconds of a ban that names no end.
    least_ban_s: ClassVar[float] = LEAST_BAN_S
    # Datasets that it offers and that the settings do not allow, with what they lack.
    left_out: Mapping[str, str] = {}
    # What must leave this process in requests alone: a body that repeats one of these is not kept, and no message shows it.
    _secrets: tuple[SecretStr, ...] = ()

    def __init__(
        self,
        lake: PayloadKeeper,
        *,
        clock: Clock,
        is_synthetic: bool,
        base_url: str | None = None,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.is_synthetic = is_synthetic
        self._base_url = checked_base_url(base_url, is_synthetic=is_synthetic, source=self.venue)
        self._lake, self._clock, self._gate = lake, clock, gate or Gate()
        self._door = Door(self._gate, clock, venue=self.venue, least_ban_s=self.least_ban_s, policy=policy, sleep=sleep)
        self._session = requests.Session()
        # No proxy and no password of the environment: what is asked is what stands here.
        self._session.trust_env = False
        self._session.headers["User-Agent"] = f"lowtide/{version('lowtide')}"

    @abstractmethod
    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return a dataset as the publisher shows it now.

        Parameters
        ----------
        dataset : str
            One that ``registry.py`` names for this publisher.
        first, last : datetime.date
            The days that a run is about. What comes in one piece (a page, an index) may hold more.

        Raises
        ------
        SourceOutage
            For every fault of the publisher: nothing is returned in part.
        """

    # -- asking -------------------------------------------------------------------------------------------------------

    def _ask(
        self,
        url: str,
        query: Mapping[str, Any],
        read: Callable[[bytes], Any],
        *,
        refusal: Callable[[bytes], str] = lambda _: "",
    ) -> Answer:
        """Ask a URL until it answers; the body is kept whatever it holds.

        Parameters
        ----------
        url : str
            On the publisher's own host, without a query.
        query : mapping
            Its query; a value whose key is not among `SHOWN_QUERY_KEYS` (``addresses.py``) is shown nowhere.
        read : callable
            ``read(body)``: the answer's value. `ValueError` where the body is no whole one of its kind (torn: asked again),
            `WrongShape` where it is whole and not what is documented (not asked again).
        refusal : callable
            ``refusal(body)``: what an error answer says, for the message; empty where nothing is known.

        Raises
        ------
        SourceOutage
            ``unreachable``, ``rate_limited``, ``banned``, ``geoblocked`` or ``venue_error``.
        """
        asked = requests.Request("GET", rehosted(url, self._base_url), params=dict(query))
        request = self._session.prepare_request(asked)
        return self._door.retry(lambda: self._once(request, read, refusal))

    def _once(
        self, request: requests.PreparedRequest, read: Callable[[bytes], Any], refusal: Callable[[bytes], str]
    ) -> Answer:
        url = str(request.url)
        host, shown = host_of(url), redacted(f"GET {url}")
        self._door.pass_by(host, url)
        if not self.is_synthetic:
            self._door.pay(host, self.cost_s)
        with self._gate.turn(host):
            self._door.refuse_inside_block(host, url)
            status, headers, body, is_whole = self._sent(request, url)
            fault = self._refused(status, headers, body, host, shown, is_whole=is_whole, said=refusal)
        # After the turn: the lake syncs to disk, and may wait for another process's commit.
        sha256 = self._kept(body, shown) if is_whole else ""
        if fault is not None:
            raise fault
        try:
            return Answer(read(body), sha256, (sha256,), shown)
        except WrongShape as shape:
            raise self._fault(f"answered 200 and {shape}", shown) from None
        except (TypeError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
            # How readers break on a shape that they do not know.
            raise self._fault(f"answered 200 in another shape ({type(error).__name__})", shown) from None
        except (ValueError, RecursionError):
            torn = f"answered 200 with {len(body)} bytes that cannot be read"
            raise Retryable(SourceOutage("venue_error", self._door.line(torn, shown), "not_readable")) from None

    def _sent(self, request: requests.PreparedRequest, url: str) -> tuple[int, Mapping[str, str], bytes, bool]:
        """Send a request; return status, headers in lower case, body, and whether the body came to its end."""
        # Never chained: requests writes the whole URL, query and all, into its messages.
        try:
            response = self._session.send(request, stream=True, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.Timeout:
            raise Retryable(SourceOutage("unreachable", self._door.line("timed out", url), "timeout")) from None
        except requests.RequestException:
            line = self._door.line("could not be reached", url)
            raise Retryable(SourceOutage("unreachable", line, "no_connection")) from None
        with response:
            headers = {k.lower(): v for k, v in response.headers.items()}
            try:
                return response.status_code, headers, bytes(response.content), True
            except requests.RequestException:
                # The status line came: a ban holds also where its body does not.
                return response.status_code, headers, b"", False

    def _refused(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        host: str,
        shown: str,
        *,
        is_whole: bool,
        said: Callable[[bytes], str],
    ) -> Exception | None:
        """Return what an answer's status makes of it, None for a whole answer of 200."""
        line = self._door.line(f"answered {status}", shown)
        if status == RATE_LIMIT_STATUS:
            return self._door.asked_to_wait(headers, host, line)
        refused = self._door.refused(status, headers, body, host, line)
        if refused is not None:
            return refused
        if status < 400 and not is_whole:
            broke = self._door.line(f"answered {status} and broke off before the end of the body", shown)
            return Retryable(SourceOutage("unreachable", broke, "broken_off"))
        if status != 200:
            words = self._printable(said(body))
            where = " and points elsewhere: its address has changed" if 300 <= status < 400 else ""
            more = f": {words}" if words else where
            return SourceOutage("venue_error", self._door.line(f"answered {status}{more}", shown), "refused")
        return None

    def _kept(self, body: bytes, shown: str) -> str:
        if any(secret.get_secret_value().encode() in body for secret in self._secrets):
            return hashlib.sha256(body).hexdigest()
        return self._lake.save_payload(body, shown)

    def _printable(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret.get_secret_value(), "withheld")
        return "".join(c if c.isprintable() else " " for c in words)[:200]

    def _fault(self, reason: str, shown: str) -> SourceOutage:
        """Return the outage that an answer of another shape is: it is not asked again, and nothing of it lands."""
        return SourceOutage("venue_error", self._door.line(self._printable(reason), shown), "wrong_shape")

    def _capture(self, dataset: str, rows: list[dict[str, Any]], answers: list[Answer]) -> Capture:
        """Return rows, in the columns of the raw dataset, as a capture; each answer's request stands in the note."""
        gathered = Gathered(dataset)
        gathered.add(rows)
        payloads = dict.fromkeys(sha for answer in answers for sha in answer.payloads)
        return Capture(gathered.frame(), tuple(payloads), "; ".join(dict.fromkeys(a.request for a in answers)))


def iso_day(value: Any) -> date | None:
    """Return a day written as YYYY-MM-DD, None where it is none."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        return None


def read_csv(body: bytes) -> list[list[str]]:
    """Return the lines of a table, the header first.

    Raises
    ------
    ValueError
        Where the body is none: a page of HTML, no UTF-8, nothing.
    """
    text = body.decode("utf-8-sig")
    if not text.strip() or text.lstrip().startswith("<"):
        raise ValueError("no table")
    try:
        return list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise ValueError(str(error)) from None


def read_json(body: bytes) -> Any:
    """Return a body's JSON value.

    Raises
    ------
    ValueError
        Where it is none, or no UTF-8.
    """
    return json.loads(body.decode("utf-8-sig"))
