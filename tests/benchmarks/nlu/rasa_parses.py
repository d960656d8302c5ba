"""Runs under Rasa's own Python: load a model, parse each text of a JSON list, write what came out and how long it took."""

import asyncio
import json
import logging
import sys
import time
from pathlib import Path

import structlog

logging.disable(logging.WARNING)
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

from rasa.core.agent import Agent  # type: ignore[import-not-found]  # noqa: E402


async def main(model: str, texts: str, out: str) -> None:
    """Parse everything, one after another."""
    begun = time.perf_counter()
    agent = Agent.load(model)
    load_seconds, parses = time.perf_counter() - begun, []
    wanted = json.loads(Path(texts).read_text("utf-8"))
    for text in wanted[:20]:
        await agent.parse_message(text)
    for text in wanted:
        begun = time.perf_counter()
        parse = await agent.parse_message(text)
        seconds = time.perf_counter() - begun
        ranking = [{"name": one["name"], "confidence": float(one["confidence"])} for one in parse["intent_ranking"]]
        ranking = [one for one in ranking if one["name"] != "nlu_fallback"]
        entities = [{name: one[name] for name in ("entity", "start", "end", "value")} for one in parse["entities"]]
        parses.append({"ranking": ranking, "entities": entities, "seconds": seconds})
    Path(out).write_text(json.dumps({"load_seconds": load_seconds, "parses": parses}), "utf-8")


asyncio.run(main(*sys.argv[1:4]))
