"""The indexes of a payout, each with the query that it serves.

Those of the lists begin with merchant and mode, which each list is of, and end with what it is ordered by: so a page is
read from the index in its order, wherever it lies, and nothing is sorted or counted. What they cost together is
measured by `make bench-reports`.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q

from payouts.states import PayoutStatus


class SearchCode(models.Func):
    """What of a text is not ASCII, its bytes as small letters: two for each.

    Groups of three characters are made of letters and digits, and which characters are letters depends on the locale of
    the database: in some, none but those of ASCII are. These are letters in all of them. A Chinese character is six, so
    that two of them are enough to look for.
    """

    output_field = models.TextField()

    # It takes none of the options of Func that the stubs name.
    def as_sql(self, compiler: Any, connection: Any, **options: Any) -> tuple[str, Any]:  # type: ignore[override]
        del connection, options
        sql, params = compiler.compile(self.source_expressions[0])
        return _code(sql), params


def _code(text: str) -> str:
    rest = rf"regexp_replace({text}, '[\u0001-\u007f]+', '', 'g')"
    return f"translate(encode(decode({rest}, 'escape'), 'hex'), '0123456789abcdef', 'ghijklmnopqrstuv')"


class SearchText(models.Func):
    """The texts of a payout that can be searched, as the index `payout_search_terms` has them.

    Each is a line, in capitals and normalised (NFC). The last line is the SearchCode of all of them. It has no capitals
    and no digits, so that no term is found there.
    Its constants stand in the statement: as parameters they would keep a statement that is planned once for all values
    from using the index.
    """

    output_field = models.TextField()

    def __init__(self) -> None:
        super().__init__("comment", "reference", "recipient_details")

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "payouts.models.indexes.SearchText", (), {}

    # It takes none of the options of Func that the stubs name.
    def as_sql(self, compiler: Any, connection: Any, **options: Any) -> tuple[str, tuple[Any, ...]]:  # type: ignore[override]
        del connection, options
        comment, reference, recipient = (compiler.compile(column)[0] for column in self.source_expressions)
        of_recipient = (f"COALESCE({recipient} ->> '{name}', '')" for name in ("name", "account"))
        # A recipient may be a text instead of an object.
        whole = f"CASE WHEN jsonb_typeof({recipient}) = 'string' THEN {recipient} #>> '{{}}' ELSE '' END"
        lines = "(" + " || chr(10) || ".join((comment, reference, *of_recipient, whole)) + ")"
        text = f"UPPER(normalize({lines}, NFC))"
        # Most are ASCII, which takes a tenth of the time.
        is_ascii = f"octet_length({lines}) = char_length({lines})"
        return f"(CASE WHEN {is_ascii} THEN UPPER({lines}) ELSE {text} || chr(10) || {_code(text)} END)", ()


_LISTED: Final = Q(deleted_at__isnull=True)
_NEWEST_FIRST: Final = (F("created_at").desc(), F("id").desc())

OF_LISTS: Final = [
    # The list newest first, and any later page of it. It has what counts and sums are made of: those of a time are read
    # from it alone.
    models.Index(
        "merchant",
        "mode",
        *_NEWEST_FIRST,
        include=("status", "currency", "amount", "provider"),
        condition=_LISTED,
        name="payout_listed",
    ),
    # ... of one status, however rare. Of several, and for figures of any, it gives the rows to sort.
    models.Index("merchant", "mode", "status", *_NEWEST_FIRST, condition=_LISTED, name="payout_by_status"),
    # ... of one currency.
    models.Index("merchant", "mode", "currency", *_NEWEST_FIRST, condition=_LISTED, name="payout_by_currency"),
    # The list by amount, and amount_min and amount_max.
    models.Index("merchant", "mode", "amount", "id", condition=_LISTED, name="payout_by_amount"),
    # updated_after and updated_before: what has changed since somebody last asked.
    models.Index("merchant", "mode", "updated_at", condition=_LISTED, name="payout_by_update"),
    # The merchant's own id. It comes first, because operators look for it without knowing whose it is.
    models.Index("reference", "merchant", "mode", condition=~Q(reference=""), name="payout_by_reference"),
    # `search`: groups of three characters. The merchant is in it, so that others' payouts need not be looked at.
    GinIndex(F("merchant"), OpClass(SearchText(), name="gin_trgm_ops"), condition=_LISTED, name="payout_search_terms"),
    # metadata[name]=value.
    GinIndex(
        F("merchant"), OpClass(F("metadata"), name="jsonb_path_ops"), condition=_LISTED, name="payout_by_metadata"
    ),
]

OF_THE_ENGINE: Final = [
    # The sweeper: what is due. Small, for a payout that is final is not in it.
    models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="payout_due"),
    # How many calls of a provider are under way.
    models.Index(
        fields=["provider", "lease_expires_at"], condition=Q(lease_expires_at__isnull=False), name="payout_leased"
    ),
    # Who has waited longest for room at a provider.
    models.Index(fields=["provider", "due_at"], condition=Q(turned_away_at__isnull=False), name="payout_turned_away"),
    # What an operator has to look at.
    models.Index(
        "updated_at",
        condition=Q(status=PayoutStatus.REQUIRES_ATTENTION) | Q(contradicted_at__isnull=False),
        name="payout_for_operator",
    ),
]
