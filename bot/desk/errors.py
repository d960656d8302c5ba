"""Why the desk says no: one tree of errors, each with a stable code that names its sentence in ``locales``."""

from __future__ import annotations

from typing import ClassVar


class DeskError(Exception):
    """The desk refuses; ``code`` names the sentence, ``status`` is the HTTP answer, ``facts`` fill the sentence."""

    status: ClassVar[int] = 400

    def __init__(self, code: str, **facts: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class BadRequest(DeskError):
    """What was sent cannot be meant."""


class NotLoggedIn(DeskError):
    """There is no session, or it is over, or the name or password is wrong."""

    status = 401


class Forbidden(DeskError):
    """This agent may not do that, or the request does not come from the desk's own page."""

    status = 403


class NotFound(DeskError):
    """There is no such thing."""

    status = 404


class Conflict(DeskError):
    """Things moved meanwhile: a colleague took it, or it is over."""

    status = 409


class Throttled(DeskError):
    """Too many failures; ``facts["seconds"]`` says how long to wait."""

    status = 429
