"""Words: every reply that is used exists and gets its variables, every one that exists is used, and values stay values."""

from __future__ import annotations

import ast
import datetime as dt
import functools
import re
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from jinja2 import UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from bot.app import ROOT, App, known_intents, load_dialogue
from bot.dialogue.actions import Actions
from bot.dialogue.domain import Slot
from bot.dialogue.flows import Flows
from bot.dialogue.repair import BUILTIN
from bot.dialogue.stack import State
from bot.dialogue.understand import Thresholds, View, press
from bot.messages import TICKET, Kind
from locales import Locale, LocaleError
from locales.render import clock, moment, money
from nlu import Interpreter
from tests.bot.talk import LI, WANG, Talk
from tests.conftest import Clock, OpenDemo
from wallet_service import RECORD_COLUMNS, Change, Fen, Transfer, Wallet, errors
from wallet_service.outbox import notice_row
from wallet_service.posting import TOLD
from wallet_service.risk import packaged_rules
from wallet_service.schema import outbox

WORDS = ROOT / "locales" / "zh_CN"
CODE = [path for package in ("bot", "handlers") for path in sorted((ROOT / package).rglob("*.py"))]
# What the engine puts into every reply's reach, besides slots.
ALWAYS = {"city_name"}
# One item of each list that buttons are made from, as the code makes them.
ITEMS = {
    "choices": {
        **{"id": "8010000000001", "name": "*娜", "phone": "138****0002"},
        **{"payee_name": "*娜", "payee_phone": "138****0002", "order_amount": 20000},
    },
    "candidates": {"title": "查余额", "payload": "/check_balance"},
    "pages": "password",
    "correctable": {"slot": "payee", "name": "收款人"},
    "delays": 7200,
    "sums": 80000,
    "recall": {"recallable": True},
    "older": {"before": 7, "period": {"start": "2026-11-01", "end": "2026-11-22"}},
}


@pytest.fixture(scope="module")
def locale() -> Locale:
    """The words that come with the package."""
    return Locale.load()


@pytest.fixture(scope="module")
def dialogue(locale: Locale) -> tuple[Flows, dict[str, Slot]]:
    """The flows and slots that come with the package."""
    return load_dialogue(Actions("handlers"), locale, known_intents())


@functools.cache
def calls() -> tuple[tuple[str, ast.Call], ...]:
    """Give each call in ``bot`` and ``handlers`` that takes a text first, with that text; ``{}`` stands for what is filled in."""
    found: list[tuple[str, ast.Call]] = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            for argument in node.args:
                for part in (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found.append((part.value, node))
                    elif isinstance(part, ast.JoinedStr):
                        text = "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in part.values)
                        found.append((text, node))
    return tuple(found)


def spoken_in_code(flows: Flows) -> set[str]:
    """Give every reply that Python names, each form of a name that is put together included."""
    responding = [flow for flow in flows.values() if any(step.name == "action_respond" for step in flow.steps.values())]
    forms = {
        "utter_refused_{}": [f"utter_refused_{code}" for code in errors.BY_CODE],
        "utter_amount_{}": [f"utter_amount_{problem}" for problem in ("sub_fen", "zero", "negative", "huge", "several", "vague")],
        "utter_history_{}_period": [f"utter_history_{it}_period" for it in ("impossible", "unclear", "future", "several")],
        "utter_notice_{}": [f"utter_notice_{kind}" for kind in kinds_of_notices()],
        "utter_{}": [f"utter_{intent}" for flow in responding for intent in flow.intents],
        "utter_ask_{}": [],  # the loader holds these against what exists
        "unreadable_{}": [f"utter_unreadable_{kind}" for kind in typing.get_args(Kind) if kind not in ("text", "press")],
    }
    names: set[str] = set()
    for text, call in calls():
        responds = ast.unparse(call.func) == "_respond"
        if text.startswith("utter_") or responds:
            known = forms[text] if "{}" in text else [text if text.startswith("utter_") else f"utter_{text}"]
            names.update(known)
    return names


def kinds_of_notices() -> set[str]:
    """Read from the wallet's code which notices it writes."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "wallet_service").glob("*.py")]
    named = (
        r'(?:notice_row|\.tell|happene?[ds])\(\s*(?:connection, user_id, )?"(\w+)"',  # said where it happens
        r'kind = "(\w+_code)" if',
        r'kind = "\w+_code" if \w+ else "(\w+_code)"',
    )
    found = {kind for source in sources for pattern in named for kind in re.findall(pattern, source)}
    return found | set(TOLD.values())


def spoken_in_flows(flows: Flows) -> set[str]:
    """Give every reply that a flow file names."""
    actions = Actions("handlers").names | set(BUILTIN)
    names: set[str] = set()
    for step in (step for flow in flows.values() for step in flow.steps.values()):
        names.update(rejection.utter for rejection in step.rejections)
        if step.kind == "collect" and f"action_ask_{step.name}" not in actions:
            names.add(step.utter)
        if step.kind == "action" and step.name not in actions:
            names.add(step.name)
    return names


def test_every_reply_in_use_exists(locale: Locale, dialogue: tuple[Flows, dict[str, Slot]]) -> None:
    """A reply that Python or a flow file names, in any of its forms, has words."""
    used = spoken_in_code(dialogue[0]) | spoken_in_flows(dialogue[0])
    assert not used - set(locale.responses)
    assert len(used) > 80


def test_no_reply_is_left_over(locale: Locale, dialogue: tuple[Flows, dict[str, Slot]]) -> None:
    """Words that nobody says any more are gone."""
    assert not set(locale.responses) - spoken_in_code(dialogue[0]) - spoken_in_flows(dialogue[0])


def test_the_problems_of_amounts_are_those_of_the_parser(interpreter: Interpreter) -> None:
    """Understanding names these problems of amounts and no others, so that each has its reply."""
    said = ("转0.001元", "转0元", "转-5元", "转9999999999999999元")
    found = [entity for text in said for entity in interpreter.parse(text)["entities"] if entity["entity"] == "amount"]
    assert [entity.get("problem") for entity in found] == ["sub_fen", "zero", "negative", "huge"]


def facts_of_refusals() -> dict[str, set[str]]:
    """Read the facts of each refusal from the table in the wallet's documentation of its errors."""
    table = re.findall(r"^\| (\w+) \| ([\w, ]*) ?\|", errors.__doc__ or "", re.MULTILINE)
    return {code: set(re.findall(r"\w+", facts)) for code, facts in table if code != "code"}


def test_every_variable_is_given(locale: Locale, dialogue: tuple[Flows, dict[str, Slot]]) -> None:
    """Each variable of each reply comes from every call that says it, from a refusal's facts, from a slot or from the engine."""
    flows, slots = dialogue
    given: defaultdict[str, list[set[str]]] = defaultdict(list)
    for text, call in calls():
        if text.startswith("utter_") and text != "utter_{}" and isinstance(call.func, ast.Attribute) and call.func.attr == "say":
            keywords = {keyword.arg for keyword in call.keywords if keyword.arg}
            keywords |= {
                str(key.value) for part in call.args for key in getattr(part, "keys", []) if isinstance(key, ast.Constant)
            }
            for name in locale.responses if "{}" in text else [text]:
                if re.fullmatch(text.replace("{}", r"\w+"), name):
                    given[name].append(keywords)
    for code, facts in facts_of_refusals().items():
        given[f"utter_refused_{code}"] = [facts]
    in_patterns = {step.name for flow in flows.values() if flow.is_pattern for step in flow.steps.values()}
    in_patterns |= {step.utter for flow in flows.values() if flow.is_pattern for step in flow.steps.values()}
    in_patterns |= {reply for action, reply in said_by_actions() if action in in_patterns}
    from_engine, by_respond = context_names(), responded(flows)
    for name in locale.responses:
        if name.startswith(("utter_notice_", "utter_agent_")):
            continue  # said outside a conversation; played for real below and in the desk's tests
        here = ALWAYS | set(slots) | (from_engine if name in in_patterns | by_respond else set())
        for keywords in given[name] or [set()]:
            missing = locale.variables(name) - here - keywords
            assert not missing, f"{name}: nobody gives {missing}"


def said_by_actions() -> set[tuple[str, str]]:
    """Give (action, reply) for each reply that an action's class says."""
    found: set[tuple[str, str]] = set()
    for path in (path for path in CODE if "handlers" in path.parts):
        for one in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)):
            texts = [node.value for node in ast.walk(one) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            actions = [text for text in texts if re.fullmatch(r"(action|validate)_\w+", text)]
            found |= {(action, text) for action in actions for text in texts if text.startswith("utter_")}
    return found


def context_names() -> set[str]:
    """Give the facts that the runner puts before the steps and words of patterns."""
    names: set[str] = set()
    for node in (
        node for path in CODE if "dialogue" in path.parts for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ):
        if isinstance(node, ast.FunctionDef) and node.name == "pattern":
            names |= {
                key.value for d in ast.walk(node) if isinstance(d, ast.Dict) for key in d.keys if isinstance(key, ast.Constant)
            }
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "frame.context" and isinstance(node.ctx, ast.Store):
            names.add(ast.literal_eval(node.slice))
    return names | {"wanted", "faq"}


def responded(flows: Flows) -> set[str]:
    """Give the replies that ``action_respond`` says."""
    by_intent = {f"utter_{intent}" for flow in flows.values() if flow.is_pattern for intent in flow.intents}
    return by_intent | {f"utter_{text}" for text, call in calls() if ast.unparse(call.func) == "_respond"}


async def _tell_of_orders(app: App, talk: Talk) -> None:
    """Leave a notice of each kind that is about an order, of a delayed one and of the posted one before it."""
    wallet, now = app.wallet, app.wallet.context.now()
    payee = (await wallet.balance(2, "xiamen")).wallet_id
    [posted, *_] = await wallet.history(1, limit=1)
    delayed = await wallet.propose(Transfer(1, payee, Fen(300), delay=7200), actor=1, key="delayed")
    await app.courier.drain()
    await wallet.authorize(delayed.id, talk.code(WANG), actor=1, key="held")
    about = [
        (kind, delayed.id) for kind in ("order_scheduled", "order_recalled", "order_voided", "order_unknown", "transfer_arrived")
    ]
    about += [(kind, posted.order_id) for kind in ("top_up_done", "withdrawal_done", "refund_received", "transfer_arrived")]
    async with wallet.database.write() as connection:
        for kind, order_id in about:
            await connection.execute(sa.insert(outbox).values(notice_row(kind, now, user_id=1, order_id=order_id)))


async def change_accounts(wallet: Wallet, talk: Talk, clock: Clock) -> None:
    """Do to accounts whatever their owners are told of."""

    async def proven(user_id: int, change: Change, to: str) -> str:
        await talk.app.courier.drain()
        await wallet.prove_change(user_id, change.id, talk.code(to), key=f"proof {change.id}")
        return change.id

    for by in ("owner", "risk", "agent"):
        await wallet.freeze(2, key=f"freeze {by}", by=by)  # type: ignore[arg-type]
    await wallet.lift_freeze(2, agent="demo", key="lift")
    await wallet.raise_level(3, 2, name="陈建国", id_number="11010519491231002X", key="level", by="counter")
    web = await wallet.bind(2, "web", "one", "Firefox", key="one")
    await wallet.bind(2, "web", "two", "", key="two")
    await wallet.unbind(2, web.id, key="out")
    await wallet.unbind_all(2, key="all out")
    box = await proven(2, await wallet.start_email(2, "li@example.com", key="box"), "li@example.com")
    await wallet.set_email(2, box, key="set box")
    new = await proven(2, await wallet.start_phone_change(2, "13900005678", key="new"), "13900005678")
    old = await proven(2, await wallet.start_change(2, "old_phone", key="old"), LI)
    await wallet.change_phone(2, new, old_phone=old, key="phone")
    header = ("",) * len(RECORD_COLUMNS)
    for turn in ("called off", "closed"):
        async for _ in wallet.export_records(5, header=header, words={}):
            pass
        closing = await proven(5, await wallet.send_closing_code(5, key=turn), "13800000005")
        await wallet.start_closing(5, closing, key=f"start {turn}")
        if turn == "called off":
            await wallet.cancel_closing(5, key="stay")
    clock.ahead += dt.timedelta(days=7)
    await wallet.run_due()
    await talk.app.courier.drain()


async def test_notices_get_what_their_words_need(open_demo: OpenDemo) -> None:
    """A log-in, orders, all that may happen to an account and ten wrong codes send every notice with the facts of its words."""
    clock = Clock()
    async with open_demo(clock=clock) as app:
        kinds, say = set[str](), app.locale.say

        def noted(name: str, *values: Any, **more: Any) -> Any:
            kinds.add(name)
            return say(name, *values, **more)

        app.locale.say = noted  # type: ignore[method-assign]
        talk = Talk(app)
        await talk.log_in(WANG)
        await talk.say("给李娜转200块")
        await talk.say(talk.code(WANG))
        await _tell_of_orders(app, talk)
        for amount in (1, 2):
            await talk.say(f"给李娜转{amount}块")
            for code in range(5):
                await talk.say(f"00000{code}")
        ticket = await app.wallet.ticket(2, "set_password", key="page")
        token = app.wallet.ticket_token(ticket.id)
        await app.wallet.send_ticket_code(token)
        await app.courier.drain()
        await app.wallet.use_ticket(token, {"code": talk.code(LI), "new": "258046"})
        await app.courier.drain()
        await change_accounts(app.wallet, talk, clock)
        notices = {name for name in app.locale.responses if name.startswith("utter_notice_")}
        assert notices == {kind for kind in kinds if kind.startswith("utter_notice_")}


def test_every_flow_and_slot_that_is_named_has_a_name(locale: Locale, dialogue: tuple[Flows, dict[str, Slot]]) -> None:
    """The engine can name each flow that a person asks for, and each slot that one may fill or correct."""
    flows, slots = dialogue
    view = View(State(), flows, slots)
    for flow in flows.values():
        if not flow.is_pattern:
            assert locale.word("flow_names", flow.id)
        for slot in view.fillable(flow) if not flow.is_pattern else flow.collects():
            assert locale.word("slot_names", slot)
    for city in ("xiamen", "qingdao", "chongqing", "shanxi", "lanzhou"):
        assert locale.city_name(city)


def payloads(locale: Locale) -> Iterator[tuple[str, str]]:
    """Give the payload of every button, made as the engine makes it."""
    environment = ImmutableSandboxedEnvironment()
    replies = list(locale.responses.items())
    replies += [(f"{city}: {name}", variants) for city, answers in locale.faq.items() for name, variants in answers.items()]
    for name, variants in replies:
        for button in (button for variant in variants for button in variant.get("buttons", [])):
            assert set(button) <= {"title", "payload", "each"}, name
            scope = {"item": ITEMS[button["each"]]} if "each" in button else {}
            if not button["payload"].startswith(TICKET):  # a link; the handlers' tests follow it
                yield name, environment.from_string(button["payload"]).render(scope)


def test_every_button_means_something(locale: Locale, dialogue: tuple[Flows, dict[str, Slot]]) -> None:
    """Each button's payload is a command that names slots, intents and questions that exist."""
    flows, slots = dialogue
    view, limits, seen = View(State(), flows, slots), Thresholds(0.5, 0.3, 0.5), 0
    for name, payload in payloads(locale):
        commands = press(payload, view, limits)  # raises for what is no command or names no slot
        assert commands, name
        intent = re.match(r"/([\w/]+)(?![\w(])", payload)
        if intent is not None and intent[1] not in ("faq", "correct"):
            assert intent[1] in flows.by_intent, name
        seen += 1
    assert seen > 50


def leaves(data: Any) -> Iterator[str]:
    """Give every text in a file."""
    if isinstance(data, dict):
        for value in data.values():
            yield from leaves(value)
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value)
    elif isinstance(data, str):
        yield data


FILES = sorted(WORDS.rglob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(WORDS).as_posix())
def test_punctuation_is_chinese_between_chinese(path: Path) -> None:
    """No half-width comma, colon, semicolon, question or exclamation mark stands beside a Chinese character."""
    for text in leaves(yaml.safe_load(path.read_text(encoding="utf-8"))):
        plain = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text)
        wrong = re.search(r"[\u4e00-\u9fff][,:;?!]|[,;?!][\u4e00-\u9fff]", plain)
        assert wrong is None, text


@pytest.mark.parametrize("name", ["{{ 7*7 }}", "{% for x in y %}", "<b>*粗*</b>", "{{ ''.__class__ }}", "{#", "\x00"])
def test_a_value_is_never_a_template(name: str, locale: Locale) -> None:
    """Whatever a person calls themselves or types is shown as it is."""
    assert f"「{name}」" in locale.say("utter_payee_unknown", {"said": name}).text
    choices = [{"id": "1", "name": name, "phone": "2"}]
    assert locale.say("utter_payee_which", {"said": name, "choices": choices}).buttons[0][0].startswith(name)


def own(folder: Path, text: str) -> Locale:
    """Make a language of one file."""
    (folder / "own.yml").write_text(text, encoding="utf-8")
    return Locale(folder)


@pytest.mark.parametrize(
    "template",
    ["{{ x.__class__ }}", "{{ x.__class__.__mro__ }}", "{{ ''.__class__ }}", "{{ x.append(1) }}", "{{ x|attr('__class__') }}"],
)
def test_a_template_cannot_reach_into_python(template: str, tmp_path: Path) -> None:
    """Templates are sandboxed: no dunder, no change of a value that it was given."""
    with pytest.raises((SecurityError, UndefinedError)):
        own(tmp_path, f'responses: {{utter_x: [{{text: "{template}"}}]}}').say("utter_x", {"x": [1]})


def test_a_missing_variable_is_an_error(tmp_path: Path, locale: Locale) -> None:
    """Nobody is shown a sentence with a hole in it."""
    with pytest.raises(UndefinedError):
        locale.say("utter_payee_unknown", {})
    with pytest.raises(UndefinedError):
        own(tmp_path, "responses: {utter_x: [{text: a, buttons: [{title: '{{ y }}', payload: /x}]}]}").say("utter_x", {})


def test_variants_and_channels(tmp_path: Path) -> None:
    """A reply of the channel's own comes first; otherwise the variants for all take turns."""
    words = own(tmp_path, "responses: {utter_x: [{text: one}, {text: two}, {text: mine, channel: sms}]}")
    assert [words.say("utter_x", {}, variant=number).text for number in range(3)] == ["one", "two", "one"]
    assert words.say("utter_x", {}, channel="sms", variant=1).text == "mine"
    assert words.say("utter_x", {}, channel="web", variant=1).text == "two"


@pytest.mark.parametrize("text", ["replies: {}", "flow_names: {a: b}\nintents: {}"])
def test_an_unknown_part_of_a_file_is_refused(text: str, tmp_path: Path) -> None:
    """A misspelt part would be words that nobody ever reads."""
    with pytest.raises(LocaleError, match="unknown part"):
        own(tmp_path, text)


def test_a_reply_in_two_files_is_refused(tmp_path: Path) -> None:
    """Two files cannot both have the last word."""
    (tmp_path / "another.yml").write_text("responses: {utter_x: [{text: a}]}", encoding="utf-8")
    with pytest.raises(LocaleError, match="elsewhere"):
        own(tmp_path, "responses: {utter_x: [{text: b}]}")


def test_what_does_not_exist_is_named(locale: Locale) -> None:
    """A reply, a word, an answer or a title that is missing is an error with its name."""
    for ask in (
        lambda: locale.say("utter_nothing", {}),
        lambda: locale.word("flow_names", "nothing"),
        lambda: locale.answer("faq/nothing", "xiamen", {}),
        lambda: locale.faq_title("faq/nothing", "xiamen"),
    ):
        with pytest.raises(LocaleError, match="nothing"):
            ask()


@pytest.mark.parametrize(
    ("fen", "written"),
    [(0, "¥0.00"), (1, "¥0.01"), (123450, "¥1,234.50"), (100000000, "¥1,000,000.00"), (-5, "-¥0.05"), (-123456, "-¥1,234.56")],
)
def test_money(fen: int, written: str) -> None:
    """Fen are written as yuan with two places and thousands."""
    assert money(fen) == written


def test_times_are_shanghais() -> None:
    """UTC times, as text or as such, are shown as the clocks in China show them, over midnight and New Year too."""
    assert moment("2026-12-31T16:30:00+00:00") == "01-01 00:30"
    assert clock(dt.datetime(2026, 11, 22, 0, 5, tzinfo=dt.UTC)) == "08:05"


def test_what_is_known_of_a_slot_is_shown_as_people_write_it(locale: Locale) -> None:
    """An amount in fen is shown in yuan, a name as it is."""
    assert locale.show_slot("amount", 20000) == "¥200.00"
    assert locale.show_slot("payee", "李娜") == "李娜"


def test_every_risk_rule_has_its_reason(locale: Locale) -> None:
    """Whatever rule stops at a payment, the payer is told why, and no reason is left over."""
    assert set(locale.names["risk_reasons"]) == {rule.name for rule in packaged_rules().rules}
    said = locale.say("utter_refused_risk_refused", {"reasons": ["probing", "safe_account"]}).text
    assert all(locale.risk_reason(rule) in said for rule in ("probing", "safe_account"))
