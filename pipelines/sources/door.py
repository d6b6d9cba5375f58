"""The manners of a client at a host's door: budget, turn, blocks, retries, and one code for every way of being refused.

Belongs here: what any client owes any host, whichever library sends its requests. Does not: what processes share
(``gate.py``), ccxt (``transport.py``), plain HTTP (``published.py``), what an answer means.

References
----------
https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from assets.ports import Clock, SourceOutage
from pipelines.sources.chains.addresses import redacted
from pipelines.sources.gate import Gate

T = TypeVar("T")

BAN_STATUSES = frozenset({403, 418})
GEOBLOCK_STATUS = 451
# What a venue's delivery network (Bybit's: CloudFront) says with 403, which is a ban everywhere else.
GEOBLOCK_WORDS = b"block access from your country"
RATE_LIMIT_STATUS = 429

# A ban without Retry-After: Binance's shortest ban is two minutes. Shorter would ask again inside the ban.
LEAST_BAN_S = 120.0
# A 429 without Retry-After: budgets are per minute.
LEAST_PAUSE_S = 60.0
# No venue bans for longer than days; what asks for more is a mistake, and beyond the calendar it could not be kept.
LONGEST_BLOCK_S = 366 * 86_400.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a request is tried again.

    Parameters
    ----------
    attempts_count : int
        Requests at most for one question; above about 8 an outage of minutes holds a run.
    first_wait_s, longest_wait_s : float
        Waits double from the first to the longest (5xx, torn bodies, timeouts, network).
    retry_after_cap_s : float
        The longest `Retry-After` of a 429 that is waited out; a longer one gives up as ``rate_limited``.
    """

    attempts_count: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0
    retry_after_cap_s: float = 90.0


class Retryable(Exception):
    """A failure that may pass; carries the outage it becomes once attempts run out, and the wait the server asked for."""

    def __init__(self, outage: SourceOutage, wait_s: float | None = None) -> None:
        super().__init__(str(outage))
        self.outage = outage
        self.wait_s = wait_s


class Door:
    """How one client asks its hosts: never inside a block, again where a failure may pass.

    Parameters
    ----------
    gate : Gate
        Blocks that processes share.
    clock : Clock
        Ours; blocks are measured with it.
    venue : str
        Name for messages.
    least_ban_s : float
        Seconds of a ban that names no end: shorter would ask again inside it.
    policy : RetryPolicy
    sleep : callable
        Waits seconds; tests hand in their own.
    """

    def __init__(
        self,
        gate: Gate,
        clock: Clock,
        *,
        venue: str,
        least_ban_s: float = LEAST_BAN_S,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gate, self._clock, self._venue, self._least_ban_s = gate, clock, venue, least_ban_s
        self._policy, self._sleep = policy or RetryPolicy(), sleep
        self._waited_until: dict[str, datetime] = {}

    def retry(self, attempt: Callable[[], T]) -> T:
        """Run an attempt until it succeeds, fails for good, or the policy's attempts are spent.

        Raises
        ------
        SourceOutage
            What the last `Retryable` stands for.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self._policy.attempts_count),
            wait=self._wait_s,
            retry=retry_if_exception(lambda error: isinstance(error, Retryable)),
            sleep=lambda wait_s: self._sleep(wait_s) if wait_s > 0 else None,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Retryable as last:
            raise last.outage from None

    def pay(self, host: str, cost_s: float) -> None:
        """Wait until all processes together have `cost_s` seconds of the host's time left to spend."""
        while (wait_s := self._gate.spend(host, cost_s)) > 0:
            self._sleep(wait_s)

    def pass_by(self, host: str, url: str) -> None:
        """Wait out a block that may be waited out; refuse inside any other."""
        held = self._block_of(host)
        if held is None:
            return
        until, code = held
        left_s = (until - self._clock.now()).total_seconds()
        if code != "rate_limited" or left_s > self._policy.retry_after_cap_s:
            self.refuse_inside_block(host, url)
        self._sleep(left_s)
        # The clock may be a fixed one: what has been waited out has passed, whatever the clock says.
        self._waited_until[host] = until

    def refuse_inside_block(self, host: str, url: str) -> None:
        """Raise where the host must not be asked now."""
        held = self._block_of(host)
        if held is None:
            return
        until, code = held
        reason = f"is not asked before {until:%Y-%m-%d %H:%M:%S} UTC: it answered {code} earlier"
        outage = SourceOutage(code, self.line(reason, url))
        left_s = (until - self._clock.now()).total_seconds()
        if code == "rate_limited" and left_s <= self._policy.retry_after_cap_s:
            # Another process was told to wait while this one waited for its turn.
            raise Retryable(outage, left_s)
        raise outage

    def asked_to_wait(self, headers: Mapping[str, str], host: str, line: str) -> Exception:
        """Return what an answer becomes that says it was too much; the host is blocked until it may be asked again."""
        wait_s = self._retry_after_s(headers, LEAST_PAUSE_S)
        self._gate.block(host, self._clock.now() + timedelta(seconds=wait_s), "rate_limited")
        outage = SourceOutage("rate_limited", f"{line}; it asks to wait {wait_s:.0f} s")
        return outage if wait_s > self._policy.retry_after_cap_s else Retryable(outage, wait_s)

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, host: str, line: str) -> Exception | None:
        """Return what a status becomes that bans, geoblocks, or tells of the server's own failure; else None.

        Parameters
        ----------
        headers : mapping
            Names in lower case.
        line : str
            The message to begin with.
        """
        is_geoblocked = status == GEOBLOCK_STATUS or (status in BAN_STATUSES and GEOBLOCK_WORDS in body)
        if status in BAN_STATUSES and not is_geoblocked:
            wait_s = self._retry_after_s(headers, self._least_ban_s)
            self._gate.block(host, self._clock.now() + timedelta(seconds=wait_s), "banned")
            return SourceOutage("banned", f"{line}; this address is banned for {wait_s:.0f} s: run again after that")
        if is_geoblocked:
            return SourceOutage("geoblocked", f"{line}; the venue does not serve this location")
        if status >= 500 or status == 408:
            return Retryable(SourceOutage("venue_error", line, "server_error"))
        return None

    def line(self, reason: str, request: str) -> str:
        """Return a message: who, what, and the request without secrets."""
        return f"{self._venue} {reason} ({redacted(request)})"

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _block_of(self, host: str) -> tuple[datetime, str] | None:
        held = self._gate.blocked(host)
        if held is None or held[0] <= self._clock.now() or self._waited_until.get(host) == held[0]:
            return None
        return held

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Retryable) and error.wait_s is not None:
            # The block itself is waited out at the gate of the next attempt.
            return 0.0
        wait_s = self._policy.first_wait_s * 2.0 ** (state.attempt_number - 1)
        return min(wait_s, self._policy.longest_wait_s)

    def _retry_after_s(self, headers: Mapping[str, str], default: float) -> float:
        """Read `Retry-After`: seconds or an HTTP date; the default where it is absent or cannot be read."""
        text = headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text), LONGEST_BLOCK_S)
        try:
            at = parsedate_to_datetime(text).astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return default
        return min(max(0.0, (at - self._clock.now()).total_seconds()), LONGEST_BLOCK_S)


def host_of(url: str) -> str:
    """Return the host of a URL as the gate knows it, with its port where one is given."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
