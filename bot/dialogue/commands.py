"""What a message asks of the conversation: small facts that understanding proposes and the stack carries out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """The common base, so that a list of commands has a type."""


@dataclass(frozen=True, slots=True)
class StartFlow(Command):
    """Begin a flow on top of the stack, with the slots that came in the same message.

    Those that are ``recalled`` come from the last time that it ended, and were checked then.
    """

    flow: str
    slots: dict[str, Any] = field(default_factory=dict)
    recalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumeFlow(Command):
    """Bring an interrupted flow back to the top."""

    flow: str


@dataclass(frozen=True, slots=True)
class SetSlot(Command):
    """Fill a slot that has no value yet."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class CorrectSlots(Command):
    """Change slots that were filled before; a value of None takes it back, and no slot at all asks which one is meant."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunPattern(Command):
    """Run a repair pattern with facts for its steps and words."""

    pattern: str
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hear(Command):
    """Keep in mind, for the flow at work, which schemes of fraud the message sounds like."""

    hints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proceed(Command):
    """Change nothing: the question stands and is asked again."""


@dataclass(frozen=True, slots=True)
class Later(Command):
    """Do something when what was asked for before it in the same message is done; ``session`` slots count from then on."""

    command: StartFlow | RunPattern
    session: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Amend(Command):
    """Change what a wish that still waits its turn was told; without values it is dropped."""

    frame: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LeaveOut(Command):
    """Say which part of a message is more than can be done from one, before anything runs."""

    rest: str
