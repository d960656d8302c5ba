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

    topics = frozenset({"transfer", "balance", "other_out_of_scope"})
    encoded = 0

    def warm(self) -> None:
        """Be warm."""

    def parse(self, text: str, now: object = None) -> dict[str, Any]:
        """Take all with 转 for a transfer, with ? for a question, the rest for a balance; digits for yuan."""
        name = "faq" if "?" in text else "transfer_money" if "转" in text else "check_balance"
        selector = {"faq": {"response": {"intent_response_key": "faq/how", "confidence": 1.0}}}
        outside = 0.3 if "天" in text else 0.1
        topics = [("transfer" if "转" in text else "balance", 0.7), ("other_out_of_scope", outside)]
        digits = "".join(filter(str.isdigit, text))
        self.encoded += bool(digits)
        return {
            "intent_ranking": [{"name": name, "confidence": 0.9}],
            "topic_ranking": [{"name": name, "confidence": share} for name, share in topics],
            "response_selector": selector,
            "entities": [{"entity": "amount", "value": int(digits) * 100, "text": digits}] if digits else [],
        }


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


def test_confidence_is_held_against_what_was_right(tmp_path: Path) -> None:
    """Sure to 0.7 and right every second time is 0.2 amiss; being sure to 0.9 and always right is 0.1."""
    assert report(tmp_path, "转账\ttransfer\n转钱\tbalance\n")["calibration_error"] == 0.2
    assert report(tmp_path, "转账\ttransfer_money\n转钱\ttransfer_money\n")["calibration_error"] == 0.1


def test_out_of_scope_is_told_apart_by_its_share(tmp_path: Path) -> None:
    """Of two pairs of one outside and one inside, one is in order and one is even; without both kinds there is no figure."""
    rows = "text\ttopic\n今天\tother_out_of_scope\n天天转\ttransfer\n余额\tbalance\n"
    assert report(tmp_path, rows)["outside_auroc"] == 0.75
    assert report(tmp_path, "转账\ttransfer\n")["outside_auroc"] is None


def test_entities_are_compared_exactly(tmp_path: Path) -> None:
    """All of a sentence's entities and no other; a row without the column does not count, one that is empty wants none."""
    rows = ("转5\t{}\tamount:5=500", "转6\t{}\tpayee:小李 amount:6=600", "转\t{}\t", "转7\t{}")
    found = report(tmp_path, "".join(f"{row}\n" for row in rows).replace("{}", "transfer_money"))
    assert found["entities_exact"] == round(2 / 3, 4)
    assert found["entity_faults"] == ("转6: amount:6=600",)
    assert found["encoded"] == 0.75


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
