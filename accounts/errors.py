"""Every refusal of this app. The docstring's first paragraph is the message that the caller reads.

`Refusal` is the base of the refusals of all apps; config/api_errors.py says which HTTP status and code each one gets.
"""

from __future__ import annotations

import inspect


class Refusal(Exception):
    """The request was refused."""

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        #: The field, parameter or header that is to blame, where one is.
        self.field = field
        self.message = message or " ".join(inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0].split())
        super().__init__(self.message)


class HTTPSRequired(Refusal):
    """Nothing was done: this API is used over https:// alone. Treat an API key that was sent over plain HTTP as leaked:
    have it revoked, and use a new one.
    """


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


class MediaTypeUnsupported(Refusal):
    """Send the body as JSON in UTF-8, with the header `Content-Type: application/json`."""


class ContentEncodingUnsupported(Refusal):
    """Send the body as it is: not compressed, and without a Content-Encoding header."""


class MerchantNotFound(Refusal):
    """There is no merchant of that name or id."""


class MerchantAmbiguous(Refusal):
    """More than one merchant fits that name or id. Give the id."""


class MerchantExists(Refusal):
    """There is a merchant of that name already."""


class APIKeyRequestInvalid(Refusal):
    """An API key cannot be issued like that."""
