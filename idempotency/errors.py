"""Every refusal of this app. The docstring's first paragraph is the message that the caller reads."""

from __future__ import annotations

from rest.refusals import Refusal


class IdempotencyKeyMalformed(Refusal):
    """Idempotency-Key is one value: 1 to 255 visible ASCII characters without quote, comma and backslash, or a
    quoted string.
    """


class IdempotencyKeyMissing(Refusal):
    """This merchant's requests must carry an Idempotency-Key header. Make one up for each, such as a UUID, and send the
    same one when you try again.
    """


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key was used for another request. To try that one again, send it as it was; for a request of its
    own, use a new key.
    """


class IdempotencyKeyInProgress(Refusal):
    """A request with this Idempotency-Key is still under way. Send the same request again in a second."""


class IdempotencyKeyUnreadable(Refusal):
    """This Idempotency-Key was recorded by a newer version of this platform. Send the same request again, with it."""


class IdempotencyKeyNotFound(Refusal):
    """No request with this Idempotency-Key has been carried out. One may still be under way."""
