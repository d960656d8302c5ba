"""The ``zhanggui`` command, run as a process of its own, as people and scripts run it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from tests.bot.talk import WANG
from tests.conftest import SECRET
from wallet_service import Wallet
from wallet_service.demo import load

ROOT = Path(__file__).parents[2]
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def environment(**settings: str) -> dict[str, str]:
    """Give an environment with these settings of ours and no others."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ZHANGGUI_")}
    return plain | {"PYTHONPATH": str(ROOT)} | {f"ZHANGGUI_{name}": value for name, value in settings.items()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs the command in an empty folder, with settings as keywords."""

    def ran(*arguments: str, text: str = "", **settings: str) -> Done:
        command = [sys.executable, "-m", "bot.cli", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(**settings), input=text, capture_output=True, text=True, timeout=120
        )

    return ran


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The same within this process, quicker, for what is refused before anything is set up."""

    def called(*arguments: str, **settings: str) -> Done:
        monkeypatch.chdir(tmp_path)
        with monkeypatch.context() as own:
            for name in [name for name in os.environ if name.startswith("ZHANGGUI_")]:
                own.delenv(name)
            for name, value in settings.items():
                own.setenv(f"ZHANGGUI_{name}", value)
            status = main(arguments)
        told = capsys.readouterr()
        return Done(arguments, status, told.out, told.err)

    return called


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Settings with which the real thing starts."""
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'real.db'}",
        "SECRET_KEY": SECRET,
        "SMS_WEBHOOK_URL": "http://127.0.0.1:9/sms",
    }


def refused(done: Done, *words: str) -> None:
    """Hold a refusal against what it must be: status 2, one line on standard error, the words in it, no trace."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("command", [("run",), ("chat",), ("db", "upgrade"), ("ledger", "verify"), ("agent", "add", "x")])
def test_nothing_starts_without_settings(call: Run, command: tuple[str, ...]) -> None:
    """Outside the demo every command that needs the database names the first setting that is missing."""
    refused(call(*command), "ZHANGGUI_DATABASE_URL")


def test_there_is_no_default_secret(run: Run, settings: dict[str, str], tmp_path: Path) -> None:
    """Without a secret nothing starts, and none is made up and left on the disk."""
    del settings["SECRET_KEY"]
    refused(run("db", "upgrade", **settings), "ZHANGGUI_SECRET_KEY")
    assert list(tmp_path.iterdir()) == []


def test_settings_are_read_from_a_file_too(call: Run, tmp_path: Path) -> None:
    """A ``.env`` beside the command counts, and the environment wins over it."""
    (tmp_path / ".env").write_text("ZHANGGUI_CITY=atlantis\n", encoding="utf-8")
    refused(call("chat", "--demo"), "ZHANGGUI_CITY", "atlantis")
    refused(call("chat", "--demo", CITY="lemuria"), "ZHANGGUI_CITY", "lemuria")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chat", "--demo", "--city", "atlantis"), ("--city", "xiamen")),
        (("chat", "--demo", "--user", "nobody"), ("--user", "王小明")),
    ],
)
def test_a_wrong_argument_is_named(run: Run, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    """What stands behind a command is checked like a setting."""
    refused(run(*arguments), *words)


@pytest.mark.parametrize("command", ["parse", "evaluate"])
def test_a_missing_file_is_named(call: Run, command: str) -> None:
    """A file that is not there is an error of one line."""
    refused(call(command, "no-such-file"), "no-such-file")


def test_a_database_that_cannot_be_is_named(run: Run, settings: dict[str, str]) -> None:
    """An address that is no database, and a kind of database that is not supported, are refused in one line."""
    refused(run("db", "upgrade", **{**settings, "DATABASE_URL": "not a url"}), "database")
    refused(run("db", "upgrade", **{**settings, "DATABASE_URL": "mysql://x/y"}), "mysql")


def test_a_database_out_of_reach_is_named(run: Run, settings: dict[str, str]) -> None:
    """A file in a folder that is not there, and a server that does not answer, are told in one line."""
    refused(run("db", "upgrade", **{**settings, "DATABASE_URL": "sqlite:////no/such/folder/x.db"}), "database", "unable to open")
    refused(run("db", "upgrade", **{**settings, "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}), "database", "127.0.0.1")


def test_a_port_in_use_is_named(run: Run) -> None:
    """Two servers on one port: the second says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("run", "--demo", "--port", str(taken.getsockname()[1]))
    refused(done, str(done.args[-1]))


def test_a_pipe_gets_one_list_a_line(run: Run) -> None:
    """Two lines in, two JSON lists of replies out, and nothing else; what went to the phone stands on standard error."""
    done = run("chat", "--demo", "--json", text="余额\n给李娜转200块\n")
    assert done.returncode == 0, done.stderr
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    assert "¥5,000.00" in first[0]["text"]
    assert "¥200.00" in "".join(reply["text"] for reply in second)
    assert {"recipient_id", "text"} <= set(second[0])
    assert f"[{WANG}]" in done.stderr


def test_parse_gives_one_line_a_line(run: Run, tmp_path: Path) -> None:
    """Each line, an empty one and a broken one too, gives one JSON object in the parse form, from a pipe or from a file."""
    (tmp_path / "lines.txt").write_bytes("余额\n\n给李娜转200块\r\n".encode() + b"\xff\xfe\n{{ 7*7 }}")
    piped = run("parse", text="余额\n\n")
    filed = run("parse", "lines.txt")
    assert (piped.returncode, filed.returncode) == (0, 0), piped.stderr + filed.stderr
    forms = [json.loads(line) for line in filed.stdout.splitlines()]
    assert len(piped.stdout.splitlines()) == 2
    assert [form["text"] for form in forms[:3]] == ["余额", "", "给李娜转200块"]
    assert len(forms) == 5
    assert all({"text", "intent", "intent_ranking", "entities", "response_selector", "topic"} <= set(form) for form in forms)
    assert forms[0]["intent"]["name"] == "check_balance"


def test_a_database_from_nothing_to_the_first_fault(run: Run, settings: dict[str, str], tmp_path: Path) -> None:
    """Migrate, migrate again, check the books, make an agent (once), tamper, and have the first fault named with status 1."""
    assert run("db", "upgrade", **settings).returncode == 0
    assert run("db", "upgrade", **settings).returncode == 0
    books = run("ledger", "verify", **settings)
    assert (books.returncode, books.stdout.count("\n")) == (0, 1), books.stderr
    made = run("agent", "add", "小林", "--role", "admin", text="a good long password\n", **settings)
    assert made.returncode == 0, made.stderr
    assert "a good long password" not in made.stdout + made.stderr
    for again in (("小林", "another long password\n"), ("小陈", "short\n")):
        done = run("agent", "add", again[0], text=again[1], **settings)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
    with closing(sqlite3.connect(tmp_path / "real.db")) as connection:
        assert connection.execute("SELECT name, role FROM agents").fetchall() == [("小林", "admin")]
        connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 1")
        connection.commit()
    fault = run("ledger", "verify", **settings)
    assert fault.returncode == 1
    assert fault.stdout.startswith("FAULT ")


def test_a_missing_witness_is_told(run: Run, settings: dict[str, str], tmp_path: Path) -> None:
    """With entries in the books and no witness, the check says what it cannot tell; with one, or with no entries, nothing."""

    async def fill() -> None:
        async with Wallet.open(settings["DATABASE_URL"], secret=settings["SECRET_KEY"]) as wallet:
            await load(wallet)

    asyncio.run(fill())
    witness = tmp_path / "real.db.head"
    assert "witness" not in run("ledger", "verify", **settings).stdout
    witness.unlink()
    done = run("ledger", "verify", **settings)
    assert (done.returncode, done.stdout.count("\n")) == (0, 2), done.stderr
    assert "ZHANGGUI_LEDGER_WITNESS" in done.stdout


def test_the_data_key_is_changed(run: Run, settings: dict[str, str], tmp_path: Path) -> None:
    """The command says what it did; afterwards there is one key, the next, and everything opens with it."""
    assert run("db", "upgrade", **settings).returncode == 0
    assert "--keep" in run("db", "rotate-keys", "--keep", "-1", **settings).stderr
    done = run("db", "rotate-keys", "--keep", "0", **settings)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("key 2 in use, ")
    with closing(sqlite3.connect(tmp_path / "real.db")) as connection:
        assert connection.execute("SELECT id FROM data_keys").fetchall() == [(2,)]
    assert run("ledger", "verify", **settings).returncode == 0


def test_an_empty_database_is_not_verified_as_good(run: Run, settings: dict[str, str]) -> None:
    """An old schema is refused with what to do, not taken for an empty ledger."""
    path = settings["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE wallet_version (version_num VARCHAR(32))")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.commit()
    done = run("agent", "add", "小林", text="a good long password\n", **settings)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_no_secret_is_logged_at_debug(tmp_path: Path) -> None:
    """A whole transfer with logging at debug: no code, no full phone, no word of the person's in any line of the log."""
    errors = (tmp_path / "errors").open("w+", encoding="utf-8")
    chat: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", "chat", "--demo", "--json"],
        cwd=tmp_path,
        env=environment(LOG_LEVEL="debug"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    with errors, chat:
        assert chat.stdin is not None
        assert chat.stdout is not None

        def say(line: str) -> list[dict[str, Any]]:
            chat.stdin.write(line + "\n")
            chat.stdin.flush()
            answer: list[dict[str, Any]] = json.loads(chat.stdout.readline())
            return answer

        say("给李娜转200块")
        told = (tmp_path / "errors").read_text(encoding="utf-8")
        code = next(line for line in reversed(told.splitlines()) if line.startswith(f"[{WANG}]")).partition("验证码 ")[2][:6]
        assert code.isdigit()
        assert "转好了" in "".join(reply["text"] for reply in say(code))
        chat.stdin.close()
        assert chat.wait(60) == 0
    lines = (tmp_path / "errors").read_text(encoding="utf-8").splitlines()
    logged = "\n".join(line for line in lines if not line.startswith("[1"))
    for secret in (code, WANG, "13800000002", "给李娜"):
        assert secret not in logged
