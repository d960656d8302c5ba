"""The word lists of sums of money as regular expressions, built once."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from nlu.numbers import signs
from nlu.words import one_of, words


@dataclass(frozen=True, slots=True)
class AmountGrammar:
    """Every pattern that finding sums needs; the word lists say what each is for."""

    token: re.Pattern[str]
    vague_sum: re.Pattern[str]
    shapes: tuple[re.Pattern[str], ...]
    sign: re.Pattern[str]
    suffix: re.Pattern[str]
    prefix: re.Pattern[str]
    idiom: re.Pattern[str]
    numeral: re.Pattern[str]
    joined: re.Pattern[str]
    foreign_before: re.Pattern[str]
    foreign_after: re.Pattern[str]
    about_before: re.Pattern[str]
    times_before: re.Pattern[str]
    not_about: re.Pattern[str]
    about_after: re.Pattern[str]
    share_after: re.Pattern[str]
    not_before: re.Pattern[str]
    not_after: re.Pattern[str]
    verb: re.Pattern[str]
    verb_after: re.Pattern[str]
    between_stop: re.Pattern[str]
    correction: re.Pattern[str]
    correction_before: re.Pattern[str]
    not_next: dict[str, re.Pattern[str]]
    services: frozenset[str]
    called_before: re.Pattern[str]
    called_after: re.Pattern[str]
    no_sums: re.Pattern[str]
    not_code_after: re.Pattern[str]
    phone_digits: int
    alone: re.Pattern[str]
    spoken_digit: re.Pattern[str]
    digit_after: re.Pattern[str]
    split_verb: str
    near: re.Pattern[str]
    dates_too: frozenset[str]
    rate: re.Pattern[str]
    card_name: re.Pattern[str]
    round: re.Pattern[str]
    capitals: str
    zeros: str
    latin_before: re.Pattern[str]
    counted_range: re.Pattern[str]
    no_number_alone: frozenset[str]


_SHAPES = (
    r"[nh] ?y(?:h|n(?:j(?:nf?|h)?|f)?)?m?w*",
    r"[nh] ?y(?:n(?:j(?:nf?|h)?|f))?m?w*",
    r"[nh] ?y",
    r"[nh] ?j(?:nf?|h)?m?",
    r"[nh] ?jm?",
    r"n ?f",
    r"n m",
    r"nm",
    r"n",
)


@functools.cache
def amount_grammar() -> AmountGrammar:
    """Build the patterns from the word lists."""
    found = words("amounts")
    sign = signs()
    numeral = f"0-9{sign.chars}"
    more = "|".join(
        f"{word}(?!{one_of(nots)})" if nots else f"{word}(?={one_of(found['yuan'] + found['jiao'])}|[{''.join(sign.bigs)}])"
        for word, nots in found["more"].items()
        if word not in found["vague_chars"]
    )
    char = rf"[{numeral}{found['vague_chars']}]"
    vague = rf"(?<![{numeral}])(?:" + "|".join(pattern.replace("{n}", numeral) for pattern in found["vague_sums"]) + ")"
    measured = found["measured"].replace("{n}", numeral)
    run = (
        rf"(?:{vague}|\.?{char}|{found['half_before']})"
        rf"(?:{char}|[.,]+(?=[0-9])|\.(?=[{numeral}])|{sign.point}(?=[0-9{''.join(sign.digits)}])"
        rf"|(?<=[0-9])[{''.join(sign.latin)}](?![a-z])|(?<=[0-9])e[-+]?(?=[0-9])|{more}|{found['half_behind']}|{measured})*"
    )
    units = {kind: one_of(found[kind]) for kind in ("yuan", "jiao", "fen")}
    token = "|".join(
        [
            f"(?P<n>{run})",
            f"(?P<h>{found['half']})",
            f"(?P<y>{units['yuan']})",
            f"(?P<j>{units['jiao']})",
            f"(?P<f>{units['fen']})",
            f"(?P<m>{found['money']})",
            f"(?P<w>{one_of(found['whole'])})",
            "(?P<s> )",
        ]
    )

    def ending(name: str) -> re.Pattern[str]:
        return re.compile(f"{one_of(found[name])} ?$")

    def starting(name: str) -> re.Pattern[str]:
        return re.compile(f" ?{one_of(found[name])}")

    return AmountGrammar(
        token=re.compile(token),
        vague_sum=re.compile(vague),
        shapes=tuple(re.compile(shape) for shape in _SHAPES),
        sign=re.compile(rf"(?:[-–—]|{one_of(found['negative'])}) ?$"),
        prefix=re.compile(f"{one_of(found['prefixes'])}+ *$"),
        suffix=re.compile(f" ?{one_of(found['suffixes'])}(?! ?[{numeral}])"),
        idiom=re.compile(
            rf"(?<![{numeral}{sign.point}{found['unit_ends']}]){one_of(found['idioms'])}(?![{numeral}{found['money']}]|{units['yuan']}|{units['jiao']})"
        ),
        numeral=re.compile(f"[{numeral}]"),
        joined=re.compile(f"[ ,]*(?:{one_of(found['range'])}[ ,]*)*"),
        foreign_before=ending("foreign_before"),
        foreign_after=starting("foreign_after"),
        about_before=ending("about_before"),
        times_before=re.compile(f"{found['times_before'].replace('{n}', numeral)}$"),
        not_about=ending("not_about"),
        about_after=starting("about_after"),
        share_after=re.compile(found["share_after"]),
        not_before=ending("not_money_before"),
        not_after=starting("not_money_after"),
        verb=re.compile(one_of(found["verbs"])),
        verb_after=starting("verbs_after"),
        between_stop=re.compile(one_of(found["between_stop"])),
        correction=re.compile(one_of(found["corrections"])),
        correction_before=ending("correction_before"),
        not_next={kind: re.compile(one_of(found[f"not_{kind}_next"])) for kind in ("yuan", "jiao", "fen")},
        services=frozenset(found["services"]),
        called_before=ending("services_before"),
        called_after=starting("services_after"),
        no_sums=re.compile("|".join(pattern.replace("{n}", numeral) for pattern in found["no_sums"])),
        not_code_after=ending("not_code_after"),
        phone_digits=found["phone_digits"],
        alone=re.compile(f"{one_of(found['alone'])}*"),
        spoken_digit=re.compile(f"[{''.join(sign.digits)}]"),
        digit_after=re.compile(f"(?:$|[^\u3400-\u9fff]|{one_of(found['digit_after'])})"),
        split_verb=found["verbs_split"],
        near=re.compile(
            f"{one_of({*found['verbs'], *found['near_verbs']} - {found['verbs_split']})}{one_of(found['near_between'])}*$"
        ),
        dates_too=frozenset(found["dates_too"]),
        rate=re.compile(f"{one_of(found['rates'])}[^,;!?\u3002]{{0,10}}$"),
        card_name=ending("card_names"),
        round=re.compile(
            f"[{''.join([*sign.units, *sign.bigs, *sign.latin])}][{found['vague_chars']}{''.join(found['more'])}]?$"
        ),
        capitals=found["capitals"],
        zeros=sign.zeros,
        counted_range=re.compile(f"{found['counted_range'].replace('{n}', numeral)} ?{one_of(found['not_money_after'])}"),
        no_number_alone=frozenset([*sign.counting_twos, *sign.units, *sign.bigs, *found["vague_chars"]]) - {found["ten"]},
        latin_before=re.compile(f"(?<![a-z])(?!{one_of(word for word in found['near_verbs'] if word.isascii())})[a-z]+ $"),
    )


def numeral_chars() -> str:
    """Give the characters that numbers are written with, for whoever must not touch them."""
    return signs().chars + str(words("amounts")["vague_chars"])
