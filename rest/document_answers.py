"""Answers with a document that is constant for the life of the process: bytes with an ETag."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags


@dataclass(frozen=True)
class Document:
    """The bytes of a document and their ETag."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Return the document with these bytes."""
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def answer(request: HttpRequest, document: Document, *, content_type: str) -> HttpResponse:
    """Answer with the document, or with 304 if the client has it already."""
    response: HttpResponse
    if _has(request, document):
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(document.body, content_type=content_type)
    response.headers["ETag"] = document.etag
    # A client may keep the document, but must revalidate it each time.
    response.headers["Cache-Control"] = "no-cache"
    return response


def _has(request: HttpRequest, document: Document) -> bool:
    # RFC 9110, section 13.1.2: weak comparison, for a proxy that compresses an answer makes its tag a weak one.
    tags = {tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))}
    return document.etag in tags or "*" in tags
