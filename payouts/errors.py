"""Every refusal of this app. The docstring's first paragraph is the message that the caller reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest.refusals import Refusal

if TYPE_CHECKING:
    # A model lies above its refusals.
    from payouts.models import Payout


class PayoutNotFound(Refusal):
    """There is no such payout."""


class PayoutDeleted(Refusal):
    """The payout that this Idempotency-Key was used for has been deleted. It was canceled or had failed by then."""


class PayoutExists(Refusal):
    """There is a payout with this Idempotency-Key already, and no record of what was answered. Do not use another key:
    tell the operator.
    """


class PayoutNotChangeable(Refusal):
    """Amount, currency, recipient, reference and expiry can be changed only while the payout is pending."""


class PayoutNotCancelable(Refusal):
    """Only a pending payout can be canceled."""


class PayoutNotDeletable(Refusal):
    """Only a pending, failed or canceled payout can be deleted: for this one money may move or has moved."""


class PayoutChanged(Refusal):
    """The payout has changed since you read it. Read it again, and send its new ETag in If-Match."""


class AmountDoesNotFit(Refusal):
    """The amount has more decimals than its currency."""


class RecipientNotStructured(Refusal):
    """Send recipient_details as an object: the provider of these payouts needs its fields."""


class LiveProviderMissing(Refusal):
    """This installation has no provider for live payouts. Use a test key, or ask its operator."""


class PayoutNotInAttention(Refusal):
    """Only a payout that requires attention can be resolved by hand without evidence on record. For another one, name
    the evidence, such as a line of the bank's statement. One that a worker is sending, one whose money came back, and
    one that already has this status cannot be resolved at all.
    """


class PayoutShownPaid(Refusal):
    """Its provider has said that it was paid. To send it would pay it twice: resolve it as paid."""


class PayoutInHand(Refusal):
    """A worker is asking about it at this moment. Try again in a minute."""


class PayoutNotRetryable(Refusal):
    """Only a payout that failed or requires attention can be sent again."""


class PayoutExpired(Refusal):
    """Its merchant wanted it sent before a time that is over, and may have paid in another way since. The merchant can
    ask for a new payout.
    """


class PayoutDeletedByMerchant(Refusal):
    """The merchant has deleted this payout, and would not see what becomes of it."""


class PayoutNotAskable(Refusal):
    """The provider can be asked only about a payout that it may have: one that is unknown, submitted, paid or requires
    attention, and not in a worker's hands.
    """


class ProviderGone(Refusal):
    """This installation does not have the provider of this payout, so it can be neither asked nor sent anything.
    Configure the provider again, or resolve the payout by the provider's statement.
    """


class CallbackNotAlarming(Refusal):
    """This callback waits for no operator: it was explained, or somebody has cleared it before."""


class WindowOver(Refusal):
    """It may have been sent, so long ago that the provider would pay the same reference once more. Find out what became
    of it, resolve it as failed if no money moved and none will, and retry it then.
    """


class PayoutContradicted(Refusal):
    """The provider has said something that contradicts the status. Find out what is true and acknowledge it first."""


class PayoutNotContradicted(Refusal):
    """Nothing contradicts the status of this payout."""


class ProviderNotFound(Refusal):
    """There is no such provider."""


class CallbackRefused(Refusal):
    """The signature is missing, wrong, or too old."""


class PausedAlready(Refusal):
    """This is paused already."""


class NotPaused(Refusal):
    """This is not paused."""


class SummaryTooLarge(Refusal):
    """The summary would have more than 10000 rows. Ask for a shorter time, or group by less."""


class TimeZoneUnknown(Refusal):
    """There is no such time zone. Give its name in the IANA database, such as Europe/Berlin."""


class ExportNotFound(Refusal):
    """There is no such export."""


class ExportNotCancelable(Refusal):
    """Only an export that is pending or running can be canceled."""


class ExportTooLarge(Refusal):
    """To find these payouts takes longer than a request may. Ask for fewer, or have the export made in the background:
    POST /api/exports/.
    """


class TooManyExports(Refusal):
    """You have as many exports under way as you may. Wait until one has ended, or cancel one."""


class TooManyDownloads(Refusal):
    """Two downloads of this export are under way. Wait until one has ended."""


class FilesBusy(Refusal):
    """As many files are being sent as may be at once. Try again in some seconds."""


class TooManyReports(Refusal):
    """As many reports are being read as may be at once, of yours or of all. Ask for one after the other, or try again
    in some seconds.
    """


class ExportStorageFull(Refusal):
    """Your exports take as much room as they may, or are as many. Use one that there is: GET /api/exports/ lists them.
    The oldest makes room when it expires, see its `expires_at`.
    """


class ExportNotKept(Refusal):
    """There is nothing to be downloaded: the export has expired or was canceled."""


class DownloadLinkInvalid(Refusal):
    """This is no download link of ours. Take it from `download_url` of the export."""


class DownloadLinkExpired(Refusal):
    """The download link has expired. GET the export for a new one."""


class SelectionTooSlow(Refusal):
    """It took too long to find what the filters select. Give created_after and created_before, or more filters; or ask
    for all of it as an export (POST /api/exports/).
    """


class ReasonMissing(Refusal):
    """An operator's change needs a reason: it is kept with the payout for ever."""


class ReasonUnusable(Refusal):
    """A reason is one line of at most 500 characters, without control characters."""


class PauseNotBegun(Refusal):
    """The database did not take it in time. Nothing is paused: try again at once."""


class TransitionNotAllowed(Exception):
    """The table in payouts/states.py does not allow this change of status: a defect in our code, never a caller's."""


def of_payout(refusal: type[Refusal], payout: Payout) -> Refusal:
    """Return the refusal with the state of the payout in front of its message."""
    state = f"is {payout.get_status_display().lower()}"
    if payout.status == "pending" and refusal in {PayoutNotChangeable, PayoutNotCancelable}:
        state = "may have been sent before it became pending again"
    return refusal(f"This payout {state}. {refusal().message}")
