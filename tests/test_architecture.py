"""The house's rules, held by reading the code: who imports whom, where words and settings live, what an import costs."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bot", "handlers", "locales", "nlu", "wallet_service")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAY_IMPORT = {
    "locales": {"locales"},
    "nlu": {"nlu"},
    "wallet_service": {"wallet_service"},
    "handlers": {"handlers", "wallet_service"},
    "bot": set(PACKAGES),
}
# Where a library may stand; everywhere else the code does not know it.
ONLY_IN = {
    "aiogram": ["bot/channels/telegram.py"],
    "rasa_sdk": ["handlers/*", "bot/dialogue/actions.py"],
    "sqlalchemy": ["wallet_service/*", "bot/dialogue/store.py", "bot/desk/*", "bot/migrations/*"],
    "alembic": ["wallet_service/migrations/*", "bot/migrations/*"],
    "jinja2": ["locales/*", "bot/channels/pages.py", "bot/desk/routes.py"],
    "sklearn": ["nlu/*"],
    "numpy": ["nlu/*", "bot/bench.py"],
    "pyotp": ["wallet_service/*"],
    "dotenv": ["bot/config.py"],
}
PUBLIC = ast.literal_eval(
    next(
        ast.unparse(node.value)
        for node in ast.parse((ROOT / "wallet_service/__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
)


def name_of(path: Path) -> str:
    """Give a file's path inside the repository."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give every imported module of a file, wherever the import stands, with the names taken from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            yield node.module or "", tuple(alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_keeps_the_rules(path: Path) -> None:
    """It says in its first line what it is, imports only what its package may, and reads no setting of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if "versions" not in path.parts and path.name != "env.py":
        assert ast.get_docstring(tree), "no docstring"
    package = path.relative_to(ROOT).parts[0]
    for module, names in imports(path):
        top = module.partition(".")[0]
        assert top not in PACKAGES or top in MAY_IMPORT[package], f"imports {module}"
        assert top not in ("tests", *(() if package == "bot" else ("bot",))), f"imports {module}"
        assert top not in ONLY_IN or any(fnmatch(name_of(path), place) for place in ONLY_IN[top]), f"imports {module}"
        if package == "handlers" and top == "wallet_service":
            assert module == "wallet_service", f"imports {module}: only the public face"
            assert set(names) <= set(PUBLIC), f"imports {names}: not public"
    if name_of(path) not in ("bot/config.py", "wallet_service/environment.py"):
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        given = [node.value for node in attributes if node.attr == "setdefault"]  # for a library below; nothing is read
        reads = [node for node in attributes if node.attr in ("environ", "getenv") and node not in given]
        assert not reads, f"reads the environment in line {reads[0].lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_chinese_stands_in_python(path: Path) -> None:
    """Words that people read stand in locale and data files; a comment or docstring may quote one to explain itself."""
    source = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.start[0] in docstrings):
            continue
        found = [character for character in token.string if "\u3400" <= character <= "\u9fff"]
        assert not found, f"{name_of(path)}:{token.start[0]}: {token.string}"


def test_every_library_rule_is_needed() -> None:
    """Each library that has its place is really imported there, so that a rule does not outlive its reason."""
    used = {module.partition(".")[0] for path in FILES for module, _ in imports(path)}
    assert set(ONLY_IN) <= used


def loaded(code: str) -> set[str]:
    """Give the top-level modules that a fresh Python has loaded after some code."""
    code += "\nimport sys; print(' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, input="余额\n")
    assert done.returncode == 0, done.stderr
    return {module.partition(".")[0] for module in done.stderr.splitlines()[-1].split()}


def test_the_wallet_is_a_library_of_its_own() -> None:
    """Importing the wallet loads neither a channel nor a conversation, nor anything else of ours."""
    assert not loaded("import wallet_service") & {"aiogram", "rasa_sdk", "aiohttp", "bot", "handlers", "nlu", "locales", "numpy"}


def test_reading_the_command_line_is_cheap() -> None:
    """Whoever asks for help waits for no library that only some commands need."""
    assert not loaded("import bot.cli") & {"aiogram", "rasa_sdk", "aiohttp", "sqlalchemy", "numpy", "jinja2"}


def test_a_chat_in_the_terminal_loads_no_telegram() -> None:
    """A whole ``zhanggui chat`` runs without the library that takes seconds to import; nor does a server without a token."""
    chat = "from bot.cli import main; assert main(['chat', '--demo', '--json']) == 0\nimport bot.server"
    assert not loaded(chat) & {"aiogram", "sklearn"}


def test_to_add_a_capability_is_to_add_a_folder() -> None:
    """No module names a capability's module: what a folder brings is found, and nobody else has to know it."""
    folders = {path.parent.name for path in (ROOT / "handlers").glob("*/flow.yml")}
    assert folders
    for path in (path for path in FILES if path.relative_to(ROOT).parts[0] != "handlers"):
        named = {module for module, _ in imports(path) if module.split(".")[:1] == ["handlers"]}
        assert not {module for module in named if set(module.split(".")[1:]) & folders}, name_of(path)
