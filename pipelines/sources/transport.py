"""Requests through ccxt that keep every body, obey `Retry-After`, and say in one code why a source did not answer.

Belongs here: payload capture, and what ccxt's failures are. It knows no venue: which requests exist and what their answers mean
stands in ``binance.py`` and its siblings; paging in ``paging.py``; retries, blocks and refusals, which are the same without
ccxt, in ``door.py``; what processes share (blocks, budget, turns) in ``gate.py``.

Where ccxt's `enableRateLimit` is on, its `throttle` (one process, no burst) is replaced by the gate's budget: ccxt still says
what each request costs, and nothing is paced twice.

ccxt 4.5.64 does not read `Retry-After`, calls a geoblock and a wrong request "not available", and hands a torn body on as
text: so failures are judged by the HTTP status and the body that the session saw, and ccxt's exception only by its family.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assets.ports import Clock, PayloadKeeper, SourceOutage
from pipelines.sources.chains.addresses import redacted
from pipelines.sources.door import LEAST_BAN_S, RATE_LIMIT_STATUS, Door, Retryable, RetryPolicy, host_of
from pipelines.sources.gate import Gate, lanes_needed
from pipelines.sources.wire_values import number, of

# Catalogues nest five deep; at some hundreds Python's own recursion ends.
DEEPEST_BODY = 50

# How parsers break on a shape that they do not know.
BROKEN_PARSER = (TypeError, KeyError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)


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
        self._venue = venue
        self._gate = gate or Gate()
        self._door = Door(self._gate, clock, venue=venue, least_ban_s=least_ban_s, policy=policy, sleep=sleep)
        self._seen: list[tuple[_Response, str]] = []
        self._unsaved: list[_Response] = []
        self._keeps = True
        # The answer of the request under way; None while nothing has come.
        self._latest: _Response | None = None
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
        return self._door.retry(lambda: self._once(ask, url))

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

        self._host, self._url = host_of(url), url
        self._door.pass_by(self._host, url)
        self._seen.clear()
        self._latest = None
        try:
            value = ask()
        except ccxt.BaseError as error:
            raise self._judged(error, self._host, url) from None
        except BROKEN_PARSER as error:
            # ccxt's parsers assume the documented shape and break in these ways where it changes.
            reason = f"answered in a shape ccxt cannot parse ({type(error).__name__})"
            raise SourceOutage("venue_error", self._door.line(reason, url), "wrong_shape") from error
        if not self._seen:
            raise RuntimeError(f"{self._venue}: a call to {redacted(url)} sent no request")
        hashes = tuple(sha for _, sha in self._seen)
        return Answer(value, hashes[-1], hashes, self._seen[-1][0].request)

    def _pace(self, cost: float | None = None) -> None:
        """Stand in for ccxt's throttle: wait until all processes together have `cost` left to spend on the host."""
        cost_s = self._unit_s * (1.0 if cost is None else float(cost))
        self._door.pay(self._host, cost_s)
        self._cost_s = cost_s

    def _fetch(self, *args: Any, **kwargs: Any) -> Any:
        """Stand in for ccxt's fetch: send one request in the host's turn, and judge its failure before the turn ends."""
        import ccxt  # noqa: PLC0415

        self._latest = None
        cost_s, self._cost_s = self._cost_s, 0.0
        try:
            with self._gate.turn(self._host, lanes_needed(self._answer_s, cost_s)):
                self._door.refuse_inside_block(self._host, self._url)
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
                return SourceOutage("venue_error", self._door.line(kind, url), "refused")
            if isinstance(error, ccxt.RequestTimeout):
                return Retryable(SourceOutage("unreachable", self._door.line("timed out", url), "timeout"))
            return Retryable(SourceOutage("unreachable", self._door.line("could not be reached", url), "no_connection"))
        status = response.status
        line = self._door.line(f"answered {status}{_said(response.body)}", response.request)
        # Some venues answer 200 and say in the body that it was too much; ccxt knows their codes.
        if status == RATE_LIMIT_STATUS or (status < 400 and isinstance(error, ccxt.RateLimitExceeded)):
            return self._door.asked_to_wait(response.headers, host, line)
        if status < 400 and not response.is_whole:
            broke = f"answered {status} and broke off before the end of the body"
            return Retryable(SourceOutage("unreachable", self._door.line(broke, response.request), "broken_off"))
        refused = self._door.refused(status, response.headers, response.body, host, line)
        if refused is not None:
            return refused
        if status < 400 and isinstance(error, ccxt.BadResponse):
            torn = f"answered {status} with {len(response.body)} bytes that are not JSON"
            return Retryable(SourceOutage("venue_error", self._door.line(torn, response.request), "not_json"))
        if status < 400 and isinstance(error, ccxt.ExchangeNotAvailable):
            return Retryable(SourceOutage("venue_error", line, "server_error"))
        return SourceOutage("venue_error", line, "refused")

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
