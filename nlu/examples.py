"""Reads training examples in Rasa's NLU format, and says file and line of whatever is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nlu.errors import DataError

DATA = Path(__file__).parent / "data" / "zh_CN"
FAQ_PREFIX = "faq/"

_ANNOTATION = re.compile(r"\[(?P<text>[^\[\]]+)\](?:\((?P<entity>[A-Za-z_]+)\)|(?P<json>\{[^{}]*\}))")


@dataclass(frozen=True, slots=True)
class Mark:
    """An annotated span of an example's plain text."""

    entity: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence as a person would write it, its label and where it stands."""

    text: str
    label: str
    marks: tuple[Mark, ...]
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """Every example of a language and the topic of every label."""

    examples: tuple[Example, ...]
    topics: dict[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """Give all labels in a fixed order."""
        return tuple(sorted(self.topics))


def data_files(root: Path = DATA) -> list[Path]:
    """List the files that hold examples, in a fixed order."""
    return sorted(root.glob("*.yml")) + sorted((root / "faq").glob("*/*.yml"))


def read_corpus(root: Path = DATA) -> Corpus:
    """Read every example file below ``root``; the first fault stops with its file and line."""
    examples: list[Example] = []
    topics: dict[str, str] = {}
    for path in data_files(root):
        where = path.relative_to(root).as_posix()
        for label, topic, line, found in _read_file(path, where):
            if topics.setdefault(label, topic) != topic:
                raise DataError(where, line, f"{label} has topic {topic} here and {topics[label]} elsewhere")
            examples.extend(found)
    return Corpus(tuple(examples), topics)


def _read_file(path: Path, where: str) -> Iterator[tuple[str, str, int, list[Example]]]:
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise DataError(where, line, str(fault.problem)) from fault
    except UnicodeDecodeError as fault:
        raise DataError(where, 1, "not UTF-8") from fault
    for block in _items(_field(root, "nlu", where), where):
        fields = _mapping(block, where)
        line = block.start_mark.line + 1
        unknown = set(fields) - {"intent", "metadata", "examples"}
        if unknown:
            raise DataError(where, line, f"unknown field {min(unknown)}")
        label = _scalar(fields.get("intent"), where, line, "intent")
        topic = _scalar(_mapping(fields.get("metadata"), where, line).get("topic"), where, line, "metadata.topic")
        node = fields.get("examples")
        _scalar(node, where, line, "examples")
        yield label, topic, line, list(_read_examples(node, label, where))


def _read_examples(node: Any, label: str, where: str) -> Iterator[Example]:
    first = node.start_mark.line + (2 if node.style == "|" else 1)
    for offset, written in enumerate(node.value.splitlines()):
        row = written.strip()
        if not row or row.startswith("#"):
            continue
        if not row.startswith("- ") or not row[2:].strip():
            raise DataError(where, first + offset, "an example starts with '- '")
        text, marks = read_annotations(row[2:].strip(), where, first + offset)
        yield Example(text, label, marks, where, first + offset)


def read_annotations(row: str, where: str = "", line: int = 1) -> tuple[str, tuple[Mark, ...]]:
    """Split an annotated example into its plain text and the spans in it."""
    text, last, marks = "", 0, []
    for found in _ANNOTATION.finditer(row):
        text += row[last : found.start()]
        entity = found["entity"]
        if found["json"]:
            try:
                entity = json.loads(found["json"])["entity"]
            except (ValueError, KeyError, TypeError):
                raise DataError(where, line, f"bad annotation {found['json']}") from None
        marks.append(Mark(str(entity), len(text), len(text) + len(found["text"])))
        text += found["text"]
        last = found.end()
    text += row[last:]
    if "](" in text or "]{" in text:
        raise DataError(where, line, "an annotation that is not [text](entity)")
    return text, tuple(marks)


def _mapping(node: Any, where: str, line: int = 1) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise DataError(where, node.start_mark.line + 1 if node else line, "a mapping is wanted here")
    return {key.value: value for key, value in node.value}


def _field(node: Any, name: str, where: str) -> Any:
    fields = _mapping(node, where)
    if name not in fields:
        raise DataError(where, 1, f"no '{name}:' at the top")
    return fields[name]


def _items(node: Any, where: str) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise DataError(where, node.start_mark.line + 1, "a list is wanted here")
    return list(node.value)


def _scalar(node: Any, where: str, line: int, name: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        raise DataError(where, node.start_mark.line + 1 if node else line, f"'{name}' is missing or empty")
    return str(node.value)
