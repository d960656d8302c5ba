"""Every refusal of the wallet: one class a condition, a stable ``code``, and the figures as ``facts``.

Facts are JSON values: fen as integers, times as ISO 8601 in UTC, ids as given. ``lifted_by`` names the intent that raises a
limit (``verify_identity``, ``bind_card``, ``visit_counter``) or is null when only time does.

| code | facts | when |
|---|---|---|
| invalid_amount | | the amount is no whole number of fen |
| amount_not_positive | amount | zero or less |
| amount_too_large | amount, limit | more than any wallet could hold |
| invalid_phone | | not a mainland mobile number |
| invalid_key | | a key that is empty, longer than 255 characters or no text that can be kept |
| invalid_note | limit | the note is longer than ``limit`` characters, or no text |
| invalid_hints | | the hints of fraud are no tuple of names that the risk rules know |
| invalid_argument | argument | a caller's mistake with what no person says: a kind, a purpose, a count (a ``ValueError`` too) |
| unknown_city | city | no profile of that name |
| service_unavailable | unknown | the database is away or cannot write; ``unknown``: nobody knows whether it was done |
| key_reused | | the key was used before with other content |
| not_logged_in | | the actor token is missing, forged or of another conversation |
| not_allowed | | the actor acts for somebody else |
| too_many_codes | limit, retry_at | too many codes asked for this phone or person (retry_at null: for this order, for good) |
| phone_mismatch | | the phone that stands for the person is not the one that was proven: no code is sent to it |
| payments_locked | retry_at | too many wrong codes in a row, over all orders: nothing is confirmed before ``retry_at`` |
| challenge_not_found | | no such login, or it was used already |
| wrong_code | tries_left | the code is wrong; ``tries_left`` more are allowed |
| code_expired | expired_at | the code's five minutes are over |
| login_locked | tries | too many wrong codes: this login is over |
| order_locked | tries | too many wrong codes: the order is refused for good |
| already_open | city | that person has a wallet there |
| no_wallet | city | the person has no wallet in that city |
| wallet_frozen | city | the person's wallets are frozen: money may not leave |
| payee_not_found | | no such wallet |
| payee_unavailable | | the payee's wallet cannot receive now (no reason is told) |
| payee_limit_exceeded | | the payee's wallet may not hold that much (no figure is told) |
| self_transfer | | payer and payee are one person |
| single_limit_exceeded | amount, limit, lifted_by | above the limit of one payment |
| balance_limit_exceeded | amount, limit, balance, incoming, left, lifted_by | one's own wallet may not hold that much |
| static_limit_exceeded | amount, limit, used, left, resets_at, lifted_by | above what is left of the day for static codes |
| uncoded_limit_exceeded | amount, limit, used, left, resets_at, lifted_by | above what is left of the day without a code |
| second_factor_needed | amount, limit, used, left, resets_at, lifted_by | more than the code alone confirms in a day |
| second_factor_missing | | the order's second factor was not proven yet; the order stays open |
| wallet_closing | city | the person's account is being closed, or is closed |
| invalid_delay | delays | not one of the delays (seconds) that are offered |
| card_not_found | | no such bound card of this person, or not of the kind that it takes |
| bill_not_found | | no such bill of a household whose customer number the person gave |
| bill_paid | | the bill is paid, or its payment is under way |
| channel_missing | outside | the bank or biller is not connected here |
| fee_changed | amount, fee, was | the free quota is gone that the confirmed fee was worked out with: the order is over |
| not_recallable | status | the order arrived already, or cannot be called back |
| refund_too_much | amount, left | more than is left of the payment |
| daily_limit_exceeded | amount, limit, used, left, resets_at, lifted_by | above what is left of the day |
| yearly_limit_exceeded | amount, limit, used, left, resets_at, lifted_by | above what is left of the year |
| surname_needed | name_masked | the first payment to a stranger: the payee's family name is to be confirmed |
| surname_wrong | name_masked, tries_left | that is not the payee's family name |
| surname_locked | retry_at | too many wrong family names today |
| risk_refused | reasons | the payment looks like fraud, by these rules; a person can look into it |
| insufficient_funds | amount, fee, available, missing | the wallet holds less than amount and fee |
| order_not_found | | no such order of this actor |
| order_not_open | status | the order is posted, cancelled or refused already |
| change_not_found | | no such proof of a change: never begun, not proven, used or too old |
| change_locked | tries | too many wrong codes: this change has to be begun anew |
| wrong_proof | tries_left | something that was to prove the person is wrong; which part is not told |
| ticket_over | | no such one-time page: used, too old, replaced by a newer one, or never made |
| ticket_locked | tries | too many wrong answers: this page is over |
| no_password | | the person has no payment password |
| password_shape | digits, shortest, longest | neither ``digits`` digits nor ``shortest`` to ``longest`` characters |
| password_weak | reason | too easily guessed (common, repeated, sequence, phone, id_number) |
| password_unchanged | | the new password is the present one |
| identity_unknown | | nothing is known by which the person could prove themselves without the password |
| no_authenticator | | the person has no authenticator |
| authenticator_there | | the person has an authenticator already |
| wrong_app_code | | the new authenticator shows another code: it was not set up, or its clock is wrong |
| second_proof_needed | ways | the change needs one more proof, one of ``ways`` (old_phone, authenticator, id_number, password) |
| not_closing | | there is no closing to call off |
| closing_obstructed | obstacles | the account cannot be closed yet; each has ``kind``, ``city``, ``amount`` (fen) and ``count`` |
| not_frozen | status | there is no freeze to lift |
| freeze_needs_person | by | the freeze is not the owner's own: a person of the house has to look first |
| invalid_name | | no name of a person |
| invalid_id_number | | not a resident id number (GB 11643) |
| id_in_use | | another account has this identity already |
| identity_differs | | the account was verified for somebody else |
| level_not_raised | level | the account stands as high or higher |
| phone_in_use | | another account has this phone |
| same_phone | | the account has this phone already |
| invalid_email | | no mailbox's address |
| binding_not_found | | no such door of this person |
| reason_needed | shortest, longest | personal data are shown for a reason only, of so many characters |
| person_not_found | | no such person |
"""

from __future__ import annotations

from typing import Any, ClassVar


class WalletError(Exception):
    """A refusal: nothing was moved. ``code`` names the reply, ``facts`` fill its figures."""

    code: ClassVar[str] = "wallet_error"

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.code)
        self.facts: dict[str, Any] = facts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.facts.items())})"


class InvalidAmount(WalletError):
    """The amount is no whole number of fen."""

    code = "invalid_amount"


class AmountNotPositive(WalletError):
    """Zero or less."""

    code = "amount_not_positive"


class AmountTooLarge(WalletError):
    """More than any wallet could hold."""

    code = "amount_too_large"


class InvalidPhone(WalletError):
    """Not a mainland mobile number."""

    code = "invalid_phone"


class InvalidKey(WalletError):
    """A key that is empty or longer than 255 characters."""

    code = "invalid_key"


class InvalidNote(WalletError):
    """The note is too long."""

    code = "invalid_note"


class InvalidHints(WalletError):
    """The hints of fraud are no tuple of names that the risk rules know."""

    code = "invalid_hints"


class InvalidArgument(WalletError, ValueError):
    """A caller's mistake with what no person says: a kind, a purpose, a count."""

    code = "invalid_argument"


class UnknownCity(WalletError):
    """No profile of that name."""

    code = "unknown_city"


class ServiceUnavailable(WalletError):
    """The database is away or cannot write. The one refusal that may not know whether money moved (``unknown``), and the one
    that no key keeps: the same call with the same key is always safe, and gives the result."""

    code = "service_unavailable"


class KeyReused(WalletError):
    """The key was used before with other content."""

    code = "key_reused"


class NotLoggedIn(WalletError):
    """The actor token is missing, forged or of another conversation."""

    code = "not_logged_in"


class NotAllowed(WalletError):
    """The actor acts for somebody else."""

    code = "not_allowed"


class TooManyCodes(WalletError):
    """Too many codes were asked for."""

    code = "too_many_codes"


class PhoneMismatch(WalletError):
    """The phone in the person's row is not the one whose blind index stands there: somebody put it there past us."""

    code = "phone_mismatch"


class PaymentsLocked(WalletError):
    """Too many wrong codes in a row: the person's payments rest for a while."""

    code = "payments_locked"


class ChallengeNotFound(WalletError):
    """No such login, or it was used already."""

    code = "challenge_not_found"


class WrongCode(WalletError):
    """The code is wrong; some tries are left."""

    code = "wrong_code"


class CodeExpired(WalletError):
    """The code's time is over."""

    code = "code_expired"


class LoginLocked(WalletError):
    """Too many wrong codes: this login is over."""

    code = "login_locked"


class OrderLocked(WalletError):
    """Too many wrong codes: the order is refused for good."""

    code = "order_locked"


class AlreadyOpen(WalletError):
    """That person has a wallet there."""

    code = "already_open"


class NoWallet(WalletError):
    """The person has no wallet in that city."""

    code = "no_wallet"


class WalletFrozen(WalletError):
    """The person's wallets are frozen."""

    code = "wallet_frozen"


class PayeeNotFound(WalletError):
    """No such wallet."""

    code = "payee_not_found"


class PayeeUnavailable(WalletError):
    """The payee's wallet cannot receive now."""

    code = "payee_unavailable"


class PayeeLimitExceeded(WalletError):
    """The payee's wallet may not hold that much."""

    code = "payee_limit_exceeded"


class SelfTransfer(WalletError):
    """Payer and payee are one person."""

    code = "self_transfer"


class SingleLimitExceeded(WalletError):
    """Above the limit of one payment."""

    code = "single_limit_exceeded"


class DailyLimitExceeded(WalletError):
    """Above what is left of the day."""

    code = "daily_limit_exceeded"


class YearlyLimitExceeded(WalletError):
    """Above what is left of the year."""

    code = "yearly_limit_exceeded"


class SurnameNeeded(WalletError):
    """The payee's family name is to be confirmed before the first payment to a stranger."""

    code = "surname_needed"


class SurnameWrong(WalletError):
    """That is not the payee's family name."""

    code = "surname_wrong"


class SurnameLocked(WalletError):
    """Too many wrong family names today."""

    code = "surname_locked"


class RiskRefused(WalletError):
    """The payment looks like fraud."""

    code = "risk_refused"


class InsufficientFunds(WalletError):
    """The wallet holds less than amount and fee."""

    code = "insufficient_funds"


class OrderNotFound(WalletError):
    """No such order of this actor."""

    code = "order_not_found"


class OrderNotOpen(WalletError):
    """The order is posted, cancelled or refused already."""

    code = "order_not_open"


class ChangeNotFound(WalletError):
    """No such proof of a change: never begun, not proven, used or too old."""

    code = "change_not_found"


class ChangeLocked(WalletError):
    """Too many wrong codes: this change has to be begun anew."""

    code = "change_locked"


class WrongProof(WalletError):
    """Something that was to prove the person is wrong."""

    code = "wrong_proof"


class TicketOver(WalletError):
    """No such one-time page."""

    code = "ticket_over"


class TicketLocked(WalletError):
    """Too many wrong answers: this page is over."""

    code = "ticket_locked"


class NoPassword(WalletError):
    """The person has no payment password."""

    code = "no_password"


class PasswordShape(WalletError):
    """No shape of a password."""

    code = "password_shape"


class PasswordWeak(WalletError):
    """Too easily guessed."""

    code = "password_weak"


class PasswordUnchanged(WalletError):
    """The new password is the present one."""

    code = "password_unchanged"


class IdentityUnknown(WalletError):
    """Nothing is known by which the person could prove themselves without the password."""

    code = "identity_unknown"


class NoAuthenticator(WalletError):
    """The person has no authenticator."""

    code = "no_authenticator"


class AuthenticatorThere(WalletError):
    """The person has an authenticator already."""

    code = "authenticator_there"


class WrongAppCode(WalletError):
    """The new authenticator shows another code."""

    code = "wrong_app_code"


class BalanceLimitExceeded(WalletError):
    """One's own wallet may not hold that much."""

    code = "balance_limit_exceeded"


class StaticLimitExceeded(WalletError):
    """Above what is left of the day for static codes."""

    code = "static_limit_exceeded"


class UncodedLimitExceeded(WalletError):
    """Above what is left of the day without a code."""

    code = "uncoded_limit_exceeded"


class SecondFactorNeeded(WalletError):
    """More in a day than the code alone confirms, and no second factor is set."""

    code = "second_factor_needed"


class SecondFactorMissing(WalletError):
    """The order's second factor was not proven yet."""

    code = "second_factor_missing"


class SecondProofNeeded(WalletError):
    """The change needs one more proof."""

    code = "second_proof_needed"


class WalletClosing(WalletError):
    """The person's account is being closed, or is closed."""

    code = "wallet_closing"


class InvalidDelay(WalletError):
    """Not one of the delays that are offered."""

    code = "invalid_delay"


class CardNotFound(WalletError):
    """No such bound card of this person."""

    code = "card_not_found"


class BillNotFound(WalletError):
    """No such bill of a household whose customer number the person gave."""

    code = "bill_not_found"


class BillPaid(WalletError):
    """The bill is paid, or its payment is under way."""

    code = "bill_paid"


class ChannelMissing(WalletError):
    """The bank or biller is not connected here."""

    code = "channel_missing"


class FeeChanged(WalletError):
    """The free quota is gone that the confirmed fee was worked out with."""

    code = "fee_changed"


class NotRecallable(WalletError):
    """The order arrived already, or cannot be called back."""

    code = "not_recallable"


class RefundTooMuch(WalletError):
    """More than is left of the payment."""

    code = "refund_too_much"


class NotClosing(WalletError):
    """There is no closing to call off."""

    code = "not_closing"


class ClosingObstructed(WalletError):
    """The account cannot be closed yet."""

    code = "closing_obstructed"


class NotFrozen(WalletError):
    """There is no freeze to lift."""

    code = "not_frozen"


class FreezeNeedsPerson(WalletError):
    """The freeze is not the owner's own."""

    code = "freeze_needs_person"


class InvalidName(WalletError):
    """No name of a person."""

    code = "invalid_name"


class InvalidIdNumber(WalletError):
    """Not a resident id number."""

    code = "invalid_id_number"


class IdInUse(WalletError):
    """Another account has this identity already."""

    code = "id_in_use"


class IdentityDiffers(WalletError):
    """The account was verified for somebody else."""

    code = "identity_differs"


class LevelNotRaised(WalletError):
    """The account stands as high or higher."""

    code = "level_not_raised"


class PhoneInUse(WalletError):
    """Another account has this phone."""

    code = "phone_in_use"


class SamePhone(WalletError):
    """The account has this phone already."""

    code = "same_phone"


class InvalidEmail(WalletError):
    """No mailbox's address."""

    code = "invalid_email"


class BindingNotFound(WalletError):
    """No such door of this person."""

    code = "binding_not_found"


class ReasonNeeded(WalletError):
    """Personal data are shown for a reason only."""

    code = "reason_needed"


class PersonNotFound(WalletError):
    """No such person."""

    code = "person_not_found"


BY_CODE: dict[str, type[WalletError]] = {error.code: error for error in WalletError.__subclasses__()}


class SchemaError(RuntimeError):
    """The database's schema is not the one this version speaks; the message says what to do."""


class LedgerFault(RuntimeError):
    """The chain over the ledger is not what this secret key has signed: nothing more is sealed until a person has looked."""


class RolledBack(LedgerFault):
    """The chain lacks what was seen of it before: an older copy of the database, or another history, stands in its place."""


class UnknownDataKey(RuntimeError):
    """A sealed value names a data key that this process has not learned (yet); it looks for new ones at once."""


class ConfigurationError(ValueError):
    """A setting is missing or unusable; the message names it."""
