"""The public face: docs/wallet.md tells all of it on one page, and nothing that is gone."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import wallet_service
from wallet_service import Wallet, errors

PAGE = (Path(__file__).parents[2] / "docs" / "wallet.md").read_text("utf-8")
METHODS, NAMES = PAGE.split("## Names")
LINES = re.findall(r"^\| `(\w+)(\(.*?\))?`( °)? \|.*\| (.*?) ?\|$", METHODS, re.MULTILINE)


def shown(name: str) -> tuple[str, str, str]:
    """Give a member of the wallet as its line should: name, arguments, and a mark where nothing is awaited."""
    member = inspect.getattr_static(Wallet, name)
    if isinstance(member, property):
        return name, "", " °"
    function = inspect.unwrap(getattr(Wallet, name))
    marks, star = [], False
    for argument in list(inspect.signature(function).parameters.values())[not isinstance(member, staticmethod) :]:
        only = argument.kind is argument.KEYWORD_ONLY
        marks += ["*"] if only and not star else []
        star = star or only or argument.kind is argument.VAR_POSITIONAL
        marks.append(f"*{argument.name}" if argument.kind is argument.VAR_POSITIONAL else argument.name)
    waits = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return name, f"({', '.join(marks)})", "" if waits else " °"


def test_the_page_has_a_line_for_each_method() -> None:
    """With its arguments as they are, and whether it is awaited; none is missing, twice there, or gone."""
    public = sorted(name for name in dir(Wallet) if not name.startswith("_"))
    written = [(name, re.sub(r"=[^,)]*", "", arguments), sync) for name, arguments, sync, _ in LINES]
    assert sorted(written) == [shown(name) for name in public]


def test_the_page_has_every_exported_name() -> None:
    """Each once, and none that is not exported."""
    table = [row.split("|")[2] for row in NAMES.splitlines() if row.startswith("| ")][1:]
    written = [name for row in table for name in re.findall(r"`(\w+)`", row)]
    assert sorted(written) == sorted(wallet_service.__all__)
    assert all(hasattr(wallet_service, name) for name in written)


def test_the_page_names_only_refusals_that_there_are() -> None:
    """By their codes, and those that any line may refuse with."""
    groups = re.findall(r"^- \*\*[A-C]\*\*, of .*?: (.*?)\.$", METHODS, re.MULTILINE | re.DOTALL)
    codes = {code for text in (*(line[3] for line in LINES), *groups) for code in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)}
    assert len(groups) == 3
    assert codes <= errors.BY_CODE.keys()
