"""The reader of training files, and what it says of broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlu import DataError, check
from nlu.examples import DATA, Mark, read_annotations, read_corpus

GOOD = """\
nlu:
# a remark
- intent: transfer_money
  metadata: {topic: transfer}
  examples: |
    - 给[小李](payee)转[200块]{"entity": "amount"}
    - 转点钱
- intent: faq/transfer_how
  metadata: {topic: transfer}
  examples: |
    - 怎么转账
"""

BROKEN = {
    "nlu:\n- intent: a\n  examples: |\n    - x\n": (2, "mapping"),
    "nlu:\n- intent: a\n  metadata: {topic: t}\n  examples: |\n    - x\n    y\n": (6, "starts with"),
    "nlu:\n- intent: a\n  metadata: {topic: t}\n  examples: |\n    - [x](payee\n": (5, "annotation"),
    'nlu:\n- intent: a\n  metadata: {topic: t}\n  examples: |\n    - [x]{"no": 1}\n': (5, "annotation"),
    "nlu:\n- intent: a\n  metadata: {topic: t}\n  examples:\n": (4, "examples"),
    "nlu:\n- intent: a\n  metadata: {topic: t}\n  exmples: |\n    - x\n": (2, "unknown field"),
    "nlu:\n- intent: a\n  metadata: {topic: [\n": (4, ""),
    "intents: []\n": (1, "nlu:"),
    "nlu: 3\n": (1, "list"),
    "nlu:\n- intent: a\n  metadata: {topic: t}\n  examples: |\n    - x\n"
    "- intent: a\n  metadata: {topic: u}\n  examples: |\n    - y\n": (
        6,
        "topic",
    ),
}


def test_examples_and_their_entities_are_read(tmp_path: Path) -> None:
    """Text, label, topic, spans and line of every example come out."""
    (tmp_path / "transfer.yml").write_text(GOOD, encoding="utf-8")
    corpus = read_corpus(tmp_path)
    assert corpus.topics == {"transfer_money": "transfer", "faq/transfer_how": "transfer"}
    first = corpus.examples[0]
    assert (first.text, first.line) == ("给小李转200块", 6)
    assert first.marks == (Mark("payee", 1, 3), Mark("amount", 4, 8))
    assert [example.line for example in corpus.examples] == [6, 7, 11]


@pytest.mark.parametrize(("content", "expected"), BROKEN.items())
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, content: str, expected: tuple[int, str]) -> None:
    """Each kind of fault says where it is and what."""
    (tmp_path / "broken.yml").write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_corpus(tmp_path)
    assert (caught.value.path, caught.value.line) == ("broken.yml", expected[0])
    assert expected[1] in str(caught.value)


def test_brackets_that_annotate_nothing_stay() -> None:
    """Only [text](entity) is an annotation."""
    assert read_annotations("转[账") == ("转[账", ())


def test_the_checker_sees_each_kind_of_fault(tmp_path: Path) -> None:
    """Doubles, contradictions, thin labels, unknown topics and unknown entities are told with their places."""
    (tmp_path / "a.yml").write_text(
        "nlu:\n- intent: one\n  metadata: {topic: transfer}\n  examples: |\n    - 转账\n    - 转账\n    - [x](payer)\n"
        "- intent: two\n  metadata: {topic: nonsense}\n  examples: |\n    - 轉賬\n    - 请问 X 呀\n",
        encoding="utf-8",
    )
    told = [str(fault) for fault in check(tmp_path)]
    assert any(line.startswith("a.yml:6: stands already at a.yml:5") for line in told)
    assert any(line.startswith("a.yml:11: two here and one at a.yml:5") for line in told)
    assert not any(line.startswith("a.yml:12") for line in told)  # what is left without its fillers is too short to tell
    assert "a.yml:7: unknown entity payer" in told
    assert any("one has 3 examples, fewer than 60" in line for line in told)
    assert any("unknown topic nonsense" in line for line in told)


def test_sentences_that_differ_in_fillers_alone_have_one_label(tmp_path: Path) -> None:
    """「怎么转账」 under one label and 「请问怎么转账呢」 under another contradict each other."""
    label = "- intent: {}\n  metadata: {{topic: transfer}}\n  examples: |\n    - {}\n"
    content = "nlu:\n" + label.format("one", "怎么转账") + label.format("two", "请问怎么转账呢?")
    (tmp_path / "a.yml").write_text(content, encoding="utf-8")
    assert any(str(fault).startswith("a.yml:9: two here and one at a.yml:5") for fault in check(tmp_path))


def test_the_shipped_data_has_no_fault() -> None:
    """The committed examples pass their checker."""
    assert [str(fault) for fault in check(DATA)] == []
