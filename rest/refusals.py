"""The base of all refusals, and those that any endpoint may answer with. Imports no framework.

The first paragraph of a docstring is the message that the caller reads. config/api_errors.py gives each refusal its
HTTP status and code.
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


class MediaTypeUnsupported(Refusal):
    """Send the body as JSON in UTF-8, with the header `Content-Type: application/json`."""


class ContentEncodingUnsupported(Refusal):
    """Send the body as it is: not compressed, and without a Content-Encoding header."""


class IfMatchMalformed(Refusal):
    """If-Match takes the ETag as it was sent, with its quotes, such as "3"; or a list of them; or an asterisk."""


class RangeNotSatisfiable(Refusal):
    """The file has no such bytes. `Content-Range` says how many it has."""

    def __init__(self, *, size: int = 0) -> None:
        super().__init__()
        self.size = size


class IfNoneMatchMalformed(Refusal):
    """If-None-Match takes the ETag as it was sent, with its quotes; or a list of them; or an asterisk."""
