"""Requests through ccxt that keep every body, obey `Retry-After`, and say in one code why a source did not answer.

Belongs here: payload capture, retries, the block that a 429 or a ban leaves behind, the classification of failures. It knows
no venue: which requests exist and what their answers mean stands in ``binance.py`` and its siblings; paging in ``paging.py``;
what processes share (blocks, budget, turns) in ``gate.py``.

Where ccxt's `enableRateLimit` is on, its `throttle` (one process, no burst) is replaced by the gate's budget: ccxt still says
what each request costs, and nothing is paced twice.

ccxt 4.5.64 does not read `Retry-After`, calls a geoblock and a wrong request "not available", and hands a torn body on as
text: so failures are judged by the HTTP status and the body that the session saw, and ccxt's exception only by its family.

References
----------
https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from assets.ports import Clock, PayloadKeeper, SourceOutage
from pipelines.sources.addresses import redacted
from pipelines.sources.gate import Gate, lanes_needed
from pipelines.sources.wire_values import number, of

BAN_STATUSES = frozenset({403, 418})
GEOBLOCK_STATUS = 451
# What a venue's delivery network (Bybit's: CloudFront) says with 403, which is a ban everywhere else.
GEOBLOCK_WORDS = b"block access from your country"
RATE_LIMIT_STATUS = 429

# Catalogues nest five deep; at some hundreds Python's own recursion ends.
DEEPEST_BODY = 50

# How parsers break on a shape that they do not know.
BROKEN_PARSER = (TypeError, KeyError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)

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


@dataclass(frozen=True)
class Answer:
    """A parsed answer and the bytes it came from.

    `value` is what the ccxt call returned, `payload_sha256` names the last body of the call, `payloads` all of them.
    """

    value: Any
    payload_sha256: str
    payloads: tuple[str, ...]
    request: str


@dataclass(frozen=True)
class _Response:
    """What the session saw: status, headers with lower-case names, body, redacted request.

    `is_whole` is False where the connection broke, or the encoding did, before the body could be read; it is empty then.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: str
    is_whole: bool = True


class _Retryable(Exception):
    """A failure that may pass; carries the outage it becomes once attempts run out, and the wait the server asked for."""

    def __init__(self, outage: SourceOutage, wait_s: float | None = None) -> None:
        super().__init__(str(outage))
        self.outage = outage
        self.wait_s = wait_s


class Transport:
    """One ccxt exchange behind payload capture, retries and one vocabulary of failure.

    Parameters
    ----------
    exchange : ccxt.Exchange
        A synchronous exchange; its session gets a hook, its JSON parser refuses torn bodies, its numbers are read strictly,
        the gate takes the place of its throttle. Its own retries must be off.
    lake : PayloadKeeper
        Keeps every body.
    clock : Clock
        Ours; only blocks are measured with it.
    venue : str
        Name for messages.
    least_ban_s : float
        Seconds of a ban that names no end: shorter would ask again inside it.
    policy : RetryPolicy
        Retries.
    gate : Gate or None
        Blocks, budgets and turns; give one with a folder to share them between processes.
    sleep : callable
        Waits seconds; tests hand in their own.
    """

    def __init__(
        self,
        exchange: Any,
        lake: PayloadKeeper,
        *,
        clock: Clock,
        venue: str,
        least_ban_s: float = LEAST_BAN_S,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lake = lake
        self._clock = clock
        self._venue = venue
        self._least_ban_s = least_ban_s
        self._policy = policy or RetryPolicy()
        self._gate = gate or Gate()
        self._sleep = sleep
        self._seen: list[tuple[_Response, str]] = []
        self._unsaved: list[_Response] = []
        self._keeps = True
        # The answer of the request under way; None while nothing has come.
        self._latest: _Response | None = None
        self._waited_until: dict[str, datetime] = {}
        self._host, self._url = "", ""
        # Seconds of the host's time that the request under way cost (0: not paced), and that an answer takes of late.
        self._cost_s, self._answer_s = 0.0, 0.0
        self._unit_s = float(exchange.rateLimit) / 1000
        self._lenient_parse, self._send = exchange.parse_json, exchange.fetch
        exchange.parse_json, exchange.fetch, exchange.throttle = self._parse, self._fetch, self._pace
        # Python's float, which ccxt takes, reads more than numbers.
        exchange.number = number
        exchange.session.hooks["response"].append(self._keep)

    def call(self, ask: Callable[[], Any], *, url: str, keeps: bool = True) -> Answer:
        """Run one ccxt call, possibly several times, and return its answer with the payload's hash.

        Parameters
        ----------
        ask : callable
            The call; it sends one or more requests through the exchange.
        url : str
            Where it goes, for the host's block and for messages. Its query is not used.
        keeps : bool
            False: of the bodies only their hashes are returned (`keep_latest` keeps them after all).

        Raises
        ------
        SourceOutage
            ``unreachable``, ``rate_limited``, ``banned``, ``geoblocked`` or ``venue_error``; nothing else for the venue's
            faults.
        """
        self._keeps = keeps
        retrying = Retrying(
            stop=stop_after_attempt(self._policy.attempts_count),
            wait=self._wait_s,
            retry=retry_if_exception(lambda error: isinstance(error, _Retryable)),
            sleep=lambda wait_s: self._sleep(wait_s) if wait_s > 0 else None,
            reraise=True,
        )
        try:
            answer: Answer = retrying(self._once, ask, url)
        except _Retryable as last:
            raise last.outage from None
        return answer

    def keep_latest(self) -> None:
        """Keep the bodies of the latest call."""
        for seen, _ in self._seen:
            self._lake.save_payload(seen.body, seen.request)

    def recall(self, payload_sha256: str, body: bytes, *, url: str) -> Answer:
        """Return the answer that a kept body was, without asking."""
        value = self._lenient_parse(body.decode("utf-8"))
        return Answer(value, payload_sha256, (payload_sha256,), redacted(url))

    # -- one attempt --------------------------------------------------------------------------------------------------

    def _once(self, ask: Callable[[], Any], url: str) -> Answer:
        import ccxt  # noqa: PLC0415 - takes a second to import

        parts = urlsplit(url)
        self._host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._url = url
        self._pass_gate(self._host, url)
        self._seen.clear()
        self._latest = None
        try:
            value = ask()
        except ccxt.BaseError as error:
            raise self._judged(error, self._host, url) from None
        except BROKEN_PARSER as error:
            # ccxt's parsers assume the documented shape and break in these ways where it changes.
            reason = f"answered in a shape ccxt cannot parse ({type(error).__name__})"
            raise SourceOutage("venue_error", self._line(reason, url), "wrong_shape") from error
        if not self._seen:
            raise RuntimeError(f"{self._venue}: a call to {redacted(url)} sent no request")
        hashes = tuple(sha for _, sha in self._seen)
        return Answer(value, hashes[-1], hashes, self._seen[-1][0].request)

    def _pace(self, cost: float | None = None) -> None:
        """Stand in for ccxt's throttle: wait until all processes together have `cost` left to spend on the host."""
        cost_s = self._unit_s * (1.0 if cost is None else float(cost))
        while (wait_s := self._gate.spend(self._host, cost_s)) > 0:
            self._sleep(wait_s)
        self._cost_s = cost_s

    def _fetch(self, *args: Any, **kwargs: Any) -> Any:
        """Stand in for ccxt's fetch: send one request in the host's turn, and judge its failure before the turn ends."""
        import ccxt  # noqa: PLC0415

        self._latest = None
        cost_s, self._cost_s = self._cost_s, 0.0
        try:
            with self._gate.turn(self._host, lanes_needed(self._answer_s, cost_s)):
                self._refuse_inside_block(self._host, self._url)
                began = time.perf_counter()
                try:
                    value = self._send(*args, **kwargs)
                except ccxt.BaseError as error:
                    # Not chained: ccxt writes the whole URL, query and all, into its messages.
                    raise self._judged(error, self._host, self._url) from None
                except BROKEN_PARSER as error:
                    # An error page on which ccxt's reader of errors breaks: the status says enough, a ban above all.
                    if not self._is_error_page():
                        raise
                    raise self._judged(error, self._host, self._url) from None
                # Of late: a fifth of the newest.
                self._answer_s += 0.2 * (time.perf_counter() - began - self._answer_s)
        finally:
            # After the turn: the lake syncs to disk, and may wait for another process's commit.
            while self._unsaved:
                seen = self._unsaved.pop(0)
                # What went wrong is kept in any case.
                is_kept = self._keeps or seen.status >= 400
                self._seen.append(
                    (seen, self._lake.save_payload(seen.body, seen.request) if is_kept else _sha256(seen))
                )
        return value

    def _is_error_page(self) -> bool:
        return self._latest is not None and self._latest.status >= 400

    def _judged(self, error: Exception, host: str, url: str) -> Exception:
        """Turn a failed attempt into an outage, retryable or not."""
        import ccxt  # noqa: PLC0415

        response = self._latest
        if response is None:
            if not isinstance(error, ccxt.NetworkError):
                kind = f"could not be asked ({type(error).__name__})"
                return SourceOutage("venue_error", self._line(kind, url), "refused")
            if isinstance(error, ccxt.RequestTimeout):
                return _Retryable(SourceOutage("unreachable", self._line("timed out", url), "timeout"))
            return _Retryable(SourceOutage("unreachable", self._line("could not be reached", url), "no_connection"))
        status = response.status
        line = self._line(f"answered {status}{_said(response.body)}", response.request)
        # Some venues answer 200 and say in the body that it was too much; ccxt knows their codes.
        if status == RATE_LIMIT_STATUS or (status < 400 and isinstance(error, ccxt.RateLimitExceeded)):
            wait_s = self._retry_after_s(response.headers, LEAST_PAUSE_S)
            self._gate.block(host, self._clock.now() + timedelta(seconds=wait_s), "rate_limited")
            outage = SourceOutage("rate_limited", f"{line}; it asks to wait {wait_s:.0f} s")
            return outage if wait_s > self._policy.retry_after_cap_s else _Retryable(outage, wait_s)
        if status < 400 and not response.is_whole:
            broke = f"answered {status} and broke off before the end of the body"
            return _Retryable(SourceOutage("unreachable", self._line(broke, response.request), "broken_off"))
        is_geoblocked = status == GEOBLOCK_STATUS or (status in BAN_STATUSES and GEOBLOCK_WORDS in response.body)
        if status in BAN_STATUSES and not is_geoblocked:
            wait_s = self._retry_after_s(response.headers, self._least_ban_s)
            self._gate.block(host, self._clock.now() + timedelta(seconds=wait_s), "banned")
            return SourceOutage("banned", f"{line}; this address is banned for {wait_s:.0f} s: run again after that")
        if is_geoblocked:
            return SourceOutage("geoblocked", f"{line}; the venue does not serve this location")
        if status >= 500 or status == 408:
            return _Retryable(SourceOutage("venue_error", line, "server_error"))
        if status < 400 and isinstance(error, ccxt.BadResponse):
            torn = f"answered {status} with {len(response.body)} bytes that are not JSON"
            return _Retryable(SourceOutage("venue_error", self._line(torn, response.request), "not_json"))
        if status < 400 and isinstance(error, ccxt.ExchangeNotAvailable):
            return _Retryable(SourceOutage("venue_error", line, "server_error"))
        return SourceOutage("venue_error", line, "refused")

    # -- the block ----------------------------------------------------------------------------------------------------

    def _pass_gate(self, host: str, url: str) -> None:
        """Wait out a block that may be waited out; refuse inside any other."""
        held = self._block_of(host)
        if held is None:
            return
        until, code = held
        left_s = (until - self._clock.now()).total_seconds()
        if code != "rate_limited" or left_s > self._policy.retry_after_cap_s:
            self._refuse_inside_block(host, url)
        self._sleep(left_s)
        # The clock may be a fixed one: what has been waited out has passed, whatever the clock says.
        self._waited_until[host] = until

    def _refuse_inside_block(self, host: str, url: str) -> None:
        held = self._block_of(host)
        if held is None:
            return
        until, code = held
        reason = f"is not asked before {until:%Y-%m-%d %H:%M:%S} UTC: it answered {code} earlier"
        outage = SourceOutage(code, self._line(reason, url))
        left_s = (until - self._clock.now()).total_seconds()
        if code == "rate_limited" and left_s <= self._policy.retry_after_cap_s:
            # Another process was told to wait while this one waited for its turn.
            raise _Retryable(outage, left_s)
        raise outage

    def _block_of(self, host: str) -> tuple[datetime, str] | None:
        held = self._gate.blocked(host)
        if held is None or held[0] <= self._clock.now() or self._waited_until.get(host) == held[0]:
            return None
        return held

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _Retryable) and error.wait_s is not None:
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

    # -- capture ------------------------------------------------------------------------------------------------------

    def _keep(self, response: Any, *_: Any, **__: Any) -> None:
        """Session hook: keep the body's bytes as they came over the wire, before anything parses them."""
        request = redacted(f"{response.request.method} {response.url}")
        headers = {str(k).lower(): str(v) for k, v in response.headers.items()}
        try:
            body = bytes(response.content)
        except Exception:
            # The status line came: a ban holds also where its body does not.
            self._latest = _Response(int(response.status_code), headers, b"", request, is_whole=False)
            raise
        seen = _Response(int(response.status_code), headers, body, request)
        self._unsaved.append(seen)
        self._latest = seen

    def _parse(self, text: str) -> Any:
        """Parse a body; a success that is not JSON is a fault here and not a string for the caller."""
        import ccxt  # noqa: PLC0415

        value = self._lenient_parse(text)
        if not isinstance(value, dict | list) and self._latest is not None and self._latest.status < 400:
            raise ccxt.BadResponse("the body is not JSON")
        if _is_deeper_than(value, DEEPEST_BODY):
            raise ccxt.BadResponse("the body is nested deeper than any answer")
        return value

    def _line(self, reason: str, request: str) -> str:
        return f"{self._venue} {reason} ({redacted(request)})"


def _sha256(seen: _Response) -> str:
    return hashlib.sha256(seen.body).hexdigest()


def _is_deeper_than(value: Any, most: int) -> bool:
    """Return whether lists and objects are nested deeper than `most`: what walks them down recurses."""
    level = [value]
    for _ in range(most):
        level = [
            child
            for v in level
            if isinstance(v, dict | list)
            for child in (v.values() if isinstance(v, dict) else v)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _said(body: bytes) -> str:
    """Return the venue's own code and message out of an error body, in one short printable piece, or nothing."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    names = next((pair for pair in (("code", "msg"), ("retCode", "retMsg")) if of(value, pair[1]) is not None), None)
    if names is None:
        return ""
    text = "".join(c if c.isprintable() else " " for c in str(value[names[1]]))[:160]
    return f" {value.get(names[0], '')}: {text}".replace("  ", " ")
