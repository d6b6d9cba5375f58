"""An event loop and a clock whose time runs only while everybody waits: seconds of silence cost no seconds, and no test sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class HandLoop(asyncio.SelectorEventLoop):
    """A loop that jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._hand_s = 0.0
        super().__init__()
        select = self._selector.select  # type: ignore[attr-defined]  # a detail of asyncio that typeshed does not tell

        def jump(timeout: float | None) -> list[Any]:
            events: list[Any] = select(0)
            if not events:
                if timeout is None:
                    raise RuntimeError("everybody waits for something that never comes")
                self._hand_s += timeout
            return events

        self._selector.select = jump  # type: ignore[attr-defined]  # as above
        self.set_default_executor(_Inline())

    def time(self) -> float:
        """Return the hand's seconds."""
        return self._hand_s


class _Inline(ThreadPoolExecutor):
    """Work is done at once: a thread would meet another time in every run."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed on, as an executor does
            done.set_exception(error)
        return done


class HandClock:
    """Our clock: an instant that the test moves, plus the running loop's time where there is one."""

    def __init__(self, start: datetime) -> None:
        self.start = start

    def now(self) -> datetime:
        """Return the present instant."""
        try:
            passed_s = asyncio.get_running_loop().time()
        except RuntimeError:
            passed_s = 0.0
        return self.start + timedelta(seconds=passed_s)


def run_by_hand(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a new hand loop."""
    with asyncio.Runner(loop_factory=HandLoop) as runner:
        return runner.run(work())
