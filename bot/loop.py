"""The event loop of every command: uvloop's, which halves what each message and statement costs, where it can be had."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_RARELY = (50_000, 20, 100)  # allocations, then collections, between collections of the next generation


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end what :func:`asyncio.run` would.

    What is there already stays for good, and little of what comes holds itself in a circle: the collector need not look so often.
    """
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        from uvloop import new_event_loop
    except ImportError:  # there is none for Windows
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)
