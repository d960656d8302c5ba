"""Measuring: the report's figures, its input's faults, and what the committed model must reach on sentences it has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlu import DataError, Interpreter, evaluate
from nlu.examples import read_corpus

HERE = Path(__file__).parent
AIMS = {"heldout_parse.tsv": 0.88, "heldout_core.tsv": 0.88, "heldout_faq.tsv": 0.72, "heldout_services.tsv": 0.4}
"""Accuracy on labels; the services' sentences were written to be as far from the examples as people can be."""


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    """Load the committed model once."""
    return Interpreter.load()


class Parrot:
    """Stands in for an interpreter with answers that a test knows."""

    topics = frozenset({"transfer", "balance"})

    def warm(self) -> None:
        """Be warm."""

    def parse(self, text: str, now: object = None) -> dict[str, Any]:
        """Take everything with 转 for a transfer, with ? for a question, and the rest for a balance."""
        name = "faq" if "?" in text else "transfer_money" if "转" in text else "check_balance"
        selector = {"faq": {"response": {"intent_response_key": "faq/how", "confidence": 1.0}}}
        return {"topic": "transfer" if "转" in text else "balance", "intent": {"name": name}, "response_selector": selector}


def report(tmp_path: Path, content: str) -> dict[str, Any]:
    """Evaluate a file with the parrot."""
    (tmp_path / "x.tsv").write_text(content, encoding="utf-8")
    found = evaluate(tmp_path / "x.tsv", Parrot()).to_json()  # type: ignore[arg-type]
    json.dumps(found)
    return found


def test_topics_are_compared(tmp_path: Path) -> None:
    """Three of four right is 0.75, F1 is the mean over the labels wanted, and the wrong one is shown."""
    found = report(tmp_path, "text\ttopic\n转账\ttransfer\n转钱\ttransfer\n余额\tbalance\n打款\ttransfer\n")
    assert (found["sentences"], found["accuracy"]) == (4, 0.75)
    assert found["macro_f1"] == round((0.8 + 2 / 3) / 2, 4)
    (confusion,) = found["confusions"]
    assert (confusion["right"], confusion["given"], confusion["count"], confusion["example"]) == (
        "transfer",
        "balance",
        1,
        "打款",
    )


def test_intents_and_keys_are_compared_without_a_header_too(tmp_path: Path) -> None:
    """Labels that are no topics are intents, faq/… labels are answers; a header is optional."""
    assert report(tmp_path, "转账\ttransfer_money\n怎么?\tfaq/how\n")["accuracy"] == 1.0
    assert report(tmp_path, "text\tkey\n怎么?\thow\n为何?\tother\n")["accuracy"] == 0.5


@pytest.mark.parametrize(("content", "line"), [("转账\n", 1), ("转账\ttransfer\n余额\t\n", 2), ("", 1)])
def test_a_file_that_is_no_test_says_where(tmp_path: Path, content: str, line: int) -> None:
    """A missing label or an empty file is told with its line."""
    with pytest.raises(DataError) as caught:
        report(tmp_path, content)
    assert caught.value.line == line


@pytest.mark.parametrize(("name", "aim"), AIMS.items())
def test_the_model_reaches_its_aims(interpreter: Interpreter, name: str, aim: float) -> None:
    """On sentences that no training file holds, the committed model is right at least so often."""
    assert evaluate(HERE / name, interpreter).accuracy >= aim


@pytest.mark.parametrize("name", AIMS)
def test_no_held_out_sentence_is_trained_on(name: str) -> None:
    """A held-out sentence that stands among the examples would measure memory."""
    trained = {example.text for example in read_corpus().examples}
    rows = (HERE / name).read_text(encoding="utf-8").splitlines()[1:]
    assert [row for row in rows if row.split("\t")[0] in trained] == []
