"""YAML files read with the line of everything in them, so that a mistake is reported where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class SourceError(ValueError):
    """A mistake in a data file; its text begins with ``file:line:``."""


class Mapped(dict[str, Any]):
    """A YAML mapping that knows its file, its own line and the line of each key."""

    path: Path
    line: int
    lines: dict[str, int]

    def fault(self, message: str, key: str | None = None) -> SourceError:
        """Make the error for a mistake in this mapping, at a key of it or at its beginning."""
        return SourceError(f"{self.path}:{self.lines.get(key, self.line) if key else self.line}: {message}")

    def only(self, *allowed: str) -> Mapped:
        """Refuse every key that is not named."""
        for key in self:
            if key not in allowed:
                raise self.fault(f"unknown field {key!r} (known here: {', '.join(allowed)})", key)
        return self

    def text(self, key: str, default: str | None = None) -> str:
        """Read a required text, or an optional one with a default."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.fault(f"{key!r} must be a text", key)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Read an optional text or list of texts."""
        value = self.get(key, [])
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self.fault(f"{key!r} must be a text or a list of texts", key)
        return tuple(found)

    def flag(self, key: str) -> bool:
        """Read an optional true or false."""
        value = self.get(key, False)
        if not isinstance(value, bool):
            raise self.fault(f"{key!r} must be true or false", key)
        return value

    def mapping(self, key: str) -> Mapped:
        """Read an optional mapping."""
        value = self.get(key)
        if value is None:
            value = Mapped()
            value.path, value.line, value.lines = self.path, self.line, {}
        if not isinstance(value, Mapped):
            raise self.fault(f"{key!r} must be a mapping", key)
        return value

    def mappings(self, key: str) -> list[Mapped]:
        """Read an optional list of mappings."""
        value = self.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, Mapped) for item in value):
            raise self.fault(f"{key!r} must be a list of mappings", key)
        return value


def read(path: Path) -> Mapped:
    """Read one file whose top level is a mapping; raises :class:`SourceError`."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        value = _convert(node, path) if node is not None else None
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise SourceError(f"{path}:{line}: {fault.problem}") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise SourceError(f"{path}:1: the file is no YAML in UTF-8") from fault
    except RecursionError as fault:
        raise SourceError(f"{path}:1: the file holds something that holds itself") from fault
    if not isinstance(value, Mapped):
        raise SourceError(f"{path}:1: the file must hold a mapping")
    return value


def _convert(node: yaml.Node, path: Path) -> Any:
    if isinstance(node, yaml.MappingNode):
        mapped = Mapped()
        mapped.path, mapped.line, mapped.lines = path, node.start_mark.line + 1, {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in mapped:
                raise SourceError(f"{path}:{line}: {key!r} stands here twice")
            mapped[key], mapped.lines[key] = _convert(value_node, path), line
        return mapped
    if isinstance(node, yaml.SequenceNode):
        return [_convert(item, path) for item in node.value]
    return yaml.SafeLoader("").construct_object(node, deep=True)
