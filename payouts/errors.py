"""Every refusal of this app. The docstring's first paragraph is the message that the caller reads."""

from __future__ import annotations

from accounts.errors import Refusal


class PayoutNotFound(Refusal):
    """There is no such payout."""


class PayoutDeleted(Refusal):
    """The payout that this Idempotency-Key was used for has been deleted. It was canceled or failed: no money moved."""


class PayoutExists(Refusal):
    """There is a payout with this Idempotency-Key already, and no record of what was answered. Do not use another key:
    tell the operator.
    """


class PayoutNotChangeable(Refusal):
    """Amount, currency, recipient and reference can be changed only while the payout is pending."""


class PayoutNotCancelable(Refusal):
    """Only a pending payout can be canceled."""


class PayoutNotDeletable(Refusal):
    """Only a pending, failed or canceled payout can be deleted: for this one money may move or has moved."""


class PayoutChanged(Refusal):
    """The payout has changed since you read it. Read it again, and send its new ETag in If-Match."""


class AmountDoesNotFit(Refusal):
    """The amount has more decimals than its currency."""


class LiveProviderMissing(Refusal):
    """This installation has no provider for live payouts. Use a test key, or ask its operator."""


class PayoutNotInAttention(Refusal):
    """Only a payout that requires attention can be resolved by hand."""


class IfMatchMalformed(Refusal):
    """If-Match takes the ETag as it was sent, with its quotes, such as "3"; or a list of them; or an asterisk."""


class ReasonMissing(Refusal):
    """An operator's change needs a reason: it is kept with the payout for ever."""


class TransitionNotAllowed(Exception):
    """The table in payouts/states.py does not allow this change of status: a defect in our code, never a caller's."""
