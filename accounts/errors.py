"""Every refusal of this app. The docstring's first paragraph is the message that the caller reads.

`Refusal` is the base of the refusals of all apps; config/api_errors.py says which HTTP status and code each one gets.
"""

from __future__ import annotations

from rest.refusals import Refusal


class APIKeyMissing(Refusal):
    """Send your API key in the header `Authorization: Api-Key <prefix>.<secret>`."""


class APIKeyInvalid(Refusal):
    """There is no such API key. Check that it was copied whole, and that it belongs to this installation."""


class APIKeyExpired(Refusal):
    """This API key has expired. Ask an administrator for a new one."""


class APIKeyRevoked(Refusal):
    """This API key was revoked. Ask an administrator for a new one."""


class MerchantSuspended(Refusal):
    """The merchant that this API key belongs to is suspended. Ask an administrator."""


class NetworkNotAllowed(Refusal):
    """This API key may not be used from your network address."""


class ScopeMissing(Refusal):
    """This API key lacks the scope that the request needs."""


class MerchantNotFound(Refusal):
    """There is no merchant of that name or id."""


class MerchantAmbiguous(Refusal):
    """More than one merchant fits that name or id. Give the id."""


class MerchantExists(Refusal):
    """There is a merchant of that name already."""


class APIKeyRequestInvalid(Refusal):
    """An API key cannot be issued like that."""
