"""A Solana provider over HTTP, under the same rules as those of other chains.

Belongs here: one POST over the guarded connection. Does not: which URLs are refused, redirects, rebinding (``evm_provider.py``), what
is asked (``solana.py``).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from assets.ports import Clock
from pipelines.clock import SystemClock
from pipelines.sources.chains.evm_provider import (
    COST_S,
    TIMEOUT_S,
    checked_rpc_url,
    guarded_session,
    is_public_address,
    shown_host,
)
from pipelines.sources.chains.solana import SolanaNode
from pipelines.sources.door import RATE_LIMIT_STATUS, Door, Retryable, host_of
from pipelines.sources.gate import Gate


def http_solana_node(
    url: str, *, is_local_allowed: bool = False, gate: Gate | None = None, clock: Clock | None = None
) -> SolanaNode:
    """Return a provider over HTTP that is asked within its host's budget; see `evm_provider.http_node` for the parameters."""
    checked = checked_rpc_url(url, is_local_allowed=is_local_allowed)
    session = guarded_session(is_local_allowed=is_local_allowed)
    gate = gate or Gate()
    name = shown_host(checked)
    door = Door(gate, clock or SystemClock(), venue=name)
    host, shown = host_of(checked), f"https://{name}"
    is_paced = is_public_address(name) or urlsplit(checked).scheme == "https"

    def once(body: bytes) -> tuple[int, bytes]:
        door.pass_by(host, shown)
        if is_paced:
            door.pay(host, COST_S)
        with gate.turn(host):
            door.refuse_inside_block(host, shown)
            answer = session.post(
                checked,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
            headers = {k.lower(): v for k, v in answer.headers.items()}
            line = door.line(f"answered HTTP {answer.status_code}", shown)
            if answer.status_code == RATE_LIMIT_STATUS:
                raise door.asked_to_wait(headers, host, line)
            # A wrong key is answered with 403: that is no ban.
            refused = None if answer.status_code == 403 else door.refused(answer.status_code, headers, b"", host, line)
            if isinstance(refused, Retryable):
                raise refused
        return answer.status_code, answer.content

    return SolanaNode(lambda body: door.retry(lambda: once(body)), name)
