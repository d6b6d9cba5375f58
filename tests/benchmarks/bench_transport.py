"""How much of the permitted rate four processes spend together, against a server that takes its time to answer.

Belongs here: child processes that share one gate, counted at the server in real time. Does not: what happens in a ban
(``tests/pipelines/sources/test_storm.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from harness import ROOT, Row

from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World

HEADING = "Transport"
FLOOR_FRAC = 0.90
PROCESSES, LATENCY_S, MEASURED_S = 4, 0.05, 6.0
# What ccxt grants: Bybit's requests one per 100 ms; Binance's lightest one per 50 ms, which is no longer than an answer takes.
RATES = {"Bybit's, ten a second": 100, "Binance's lightest, twenty a second": 50}

CLIENT = """
import hashlib, sys
from pathlib import Path
import ccxt
from pipelines.clock import SystemClock
from pipelines.sources.chains.addresses import rehosted
from pipelines.sources.gate import Gate
from pipelines.sources.transport import Transport

class Lake:
    def save_payload(self, body, request):
        return hashlib.sha256(body).hexdigest()

base_url, folder, unit_ms = sys.argv[1:]
exchange = ccxt.binanceusdm({"enableRateLimit": True, "rateLimit": int(unit_ms)})
exchange.urls["api"] = {k: rehosted(v, base_url) for k, v in exchange.urls["api"].items()}
transport = Transport(exchange, Lake(), clock=SystemClock(), venue="binance", gate=Gate(Path(folder)))
while True:
    transport.call(exchange.fapiPublicGetTime, url=base_url)
"""


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    world = World(1, date(2025, 9, 1), 2, assets=("SOL",))
    with serve(world, now=datetime(2025, 9, 2, 12), faults=Faults(latency_s=LATENCY_S)) as sandbox:
        for name, unit_ms in RATES.items():
            arrivals = _arrivals(sandbox, unit_ms)
            # The budget is what the span grants; one second's worth most shows that none is exceeded.
            share = len(arrivals) * unit_ms / 1000 / MEASURED_S
            most = max(sum(a <= b < a + 1.0 for b in arrivals) for a in arrivals)
            yield Row(
                f"Transport: utilisation of the permitted rate, {name}",
                share,
                FLOOR_FRAC,
                "of it",
                limit=f"most in one second {most}, granted {1000 / unit_ms:.0f}",
                note=f"{PROCESSES} processes, answers after {LATENCY_S * 1000:.0f} ms, {MEASURED_S:.0f} s at the server",
            )


def _arrivals(sandbox: Sandbox, unit_ms: int) -> list[float]:
    """Let the processes run; return when requests arrived within the measured span, once all of them are asking."""
    sandbox.restart(faults=sandbox.faults)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", CLIENT, sandbox.base_url, str(Path(folder) / "gate"), str(unit_ms)]
        running = [subprocess.Popen(command, cwd=ROOT, env=dict(os.environ)) for _ in range(PROCESSES)]
        try:
            while len(sandbox.requests) < 40:
                time.sleep(0.05)
            time.sleep(1.0)
            begin = time.monotonic()
            time.sleep(MEASURED_S)
        finally:
            for child in running:
                child.kill()
                child.wait()
    return [s.arrived_s for s in sandbox.requests if begin <= s.arrived_s < begin + MEASURED_S]
