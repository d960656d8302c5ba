"""Rasa Open Source with its standard Chinese pipeline, trained on the same files, as something that parses like ours.

It needs another Python and libraries that cannot live beside ours, so it runs by itself: once, for all sentences of all exams.
Retrieval intents become plain ones (``faq_fees`` for ``faq/fees``), so that its classifier decides about them as ours does.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from nlu.evaluation import read_labelled
from nlu.examples import DATA, FAQ_PREFIX, data_files, read_corpus

HERE = Path(__file__).parent


class Peer:
    """What Rasa made of each sentence, with the time that it took then."""

    encoded = 0

    def __init__(self, parses: dict[str, dict[str, Any]], training_seconds: float, load_seconds: float) -> None:
        self._parses, self._topics_of = parses, read_corpus().topics
        self.training_seconds, self.load_seconds = training_seconds, load_seconds

    @staticmethod
    def trained(python: Path, epochs: int, exams: Sequence[Path]) -> Peer:
        """Train it and have it parse every sentence of the exams."""
        texts = sorted({row.text for exam in exams for row in read_labelled(exam)})
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "nlu"
            for path in data_files():
                copy = data / path.relative_to(DATA)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(path.read_text("utf-8").replace(f"intent: {FAQ_PREFIX}", "intent: faq_"), "utf-8")
            config = (HERE / "rasa.yml").read_text("utf-8").replace("epochs: 100", f"epochs: {epochs}")
            (Path(folder) / "config.yml").write_text(config, "utf-8")
            begun = time.perf_counter()
            train: list[object] = [python.with_name("rasa"), "train", "nlu", "--nlu", data, "--config", "config.yml"]
            subprocess.run([*train, "--out", folder, "--fixed-model-name", "nlu"], cwd=folder, check=True)
            trained = time.perf_counter() - begun
            (Path(folder) / "texts.json").write_text(json.dumps(texts), "utf-8")
            files = [f"{folder}/{name}" for name in ("nlu.tar.gz", "texts.json", "parses.json")]
            subprocess.run([python, HERE / "rasa_parses.py", *files], cwd=folder, check=True)
            found = json.loads((Path(folder) / "parses.json").read_text("utf-8"))
        return Peer(dict(zip(texts, found["parses"], strict=True)), trained, found["load_seconds"])

    @property
    def topics(self) -> frozenset[str]:
        """Give every topic that a message can get."""
        return frozenset(self._topics_of.values())

    def warm(self) -> None:
        """Be warm: it was when it parsed."""

    def parse(self, text: str, now: datetime | None = None) -> dict[str, Any]:
        """Give what it made of a sentence, in our parse form, after as long as it took."""
        parse = self._parses[text]
        time.sleep(parse["seconds"])
        shares = {self._label(one["name"]): one["confidence"] for one in parse["ranking"]}
        by_topic: dict[str, float] = {}
        for label, share in shares.items():
            topic = self._topics_of.get(label, label)
            by_topic[topic] = by_topic.get(topic, 0.0) + share
        answers = [{"intent_response_key": label, "confidence": share} for label, share in _ranked(shares) if FAQ_PREFIX in label]
        best = _ranked(shares)[0]
        intents = [("faq", best[1])] if FAQ_PREFIX in best[0] else []
        intents += [(label, share) for label, share in _ranked(shares) if FAQ_PREFIX not in label]
        return {
            "intent_ranking": [{"name": name, "confidence": share} for name, share in intents],
            "topic_ranking": [{"name": name, "confidence": share} for name, share in _ranked(by_topic)],
            "response_selector": {"faq": {"response": answers[0] if answers else None}},
            "entities": parse["entities"],
        }

    def _label(self, name: str) -> str:
        return FAQ_PREFIX + name.removeprefix("faq_") if name.startswith("faq_") else name


def _ranked(shares: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])
