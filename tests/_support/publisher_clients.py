"""Clients of publishers against a running sandbox: a lake that only keeps payloads, a clock that only waits move."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from source_doubles import HandClock, PayloadLake

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox
from pipelines.sources.door import RetryPolicy
from pipelines.sources.gate import Gate
from pipelines.sources.publishers.published import Publisher
from pipelines.sources.publishers.registry import publisher_class


class PublisherBench:
    """One publisher's client aimed at a sandbox whose requests, rules and clock begin anew.

    Parameters
    ----------
    spoiled : callable or None
        What is made of every decoded answer.
    policy, more
        Of the retry policy, and of the client.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        venue: str,
        now: datetime,
        *rules: Fault,
        spoiled: Any = None,
        gate: Gate | None = None,
        policy: RetryPolicy | None = None,
        **more: Any,
    ) -> None:
        sandbox.restart(now=now, faults=Faults(rules, spoiled={} if spoiled is None else {"": spoiled}))
        self.sandbox, self.lake, self.clock = sandbox, PayloadLake(), HandClock(now)
        self.client: Publisher = publisher_class(venue)(
            self.lake,
            clock=self.clock,
            is_synthetic=True,
            base_url=sandbox.base_url,
            policy=policy,
            gate=gate,
            sleep=self.clock.sleep,
            **more,
        )
