"""The indexes of a payout, each with the query that it serves.

The indexes of lists begin with merchant and mode, as each list does, and end with the order. So any page is read from
the index in order, and nothing is sorted or counted. `make bench-reports` measures the cost of all of them.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q

from payouts.states import ASKABLE, PayoutStatus


class SearchCode(models.Func):
    """The non-ASCII part of a text, with each byte as two small letters.

    Groups of three characters consist of letters and digits. The locale of the database decides which characters are
    letters, in some locales only ASCII ones. These letters are letters in all of them. A Chinese character becomes six
    letters, so a search for two characters works.
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

    Each text is a line in capitals, normalised (NFC). The last line is the SearchCode of all of them. It has no
    capitals and no digits, so no term is found there.
    The constants stand in the statement: parameters would keep a statement with one plan for all values from using the
    index.
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
        # Most texts are ASCII, which takes a tenth of the time.
        is_ascii = f"octet_length({lines}) = char_length({lines})"
        return f"(CASE WHEN {is_ascii} THEN UPPER({lines}) ELSE {text} || chr(10) || {_code(text)} END)", ()


_LISTED: Final = Q(deleted_at__isnull=True)
_NEWEST_FIRST: Final = (F("created_at").desc(), F("id").desc())

OF_LISTS: Final = [
    # The list newest first, any page. It includes the columns of counts and sums, so those of a period are read from
    # it alone.
    models.Index(
        "merchant",
        "mode",
        *_NEWEST_FIRST,
        include=("status", "currency", "amount", "provider"),
        condition=_LISTED,
        name="payout_listed",
    ),
    # The list of one status. For several statuses, and for figures, it gives the rows to sort.
    models.Index("merchant", "mode", "status", *_NEWEST_FIRST, condition=_LISTED, name="payout_by_status"),
    # The list of one currency.
    models.Index("merchant", "mode", "currency", *_NEWEST_FIRST, condition=_LISTED, name="payout_by_currency"),
    # The list by amount, and amount_min and amount_max.
    models.Index("merchant", "mode", "amount", "id", condition=_LISTED, name="payout_by_amount"),
    # updated_after and updated_before: changes since the last poll.
    models.Index("merchant", "mode", "updated_at", condition=_LISTED, name="payout_by_update"),
    # The merchant's own id. It comes first, because operators search it without knowing the merchant.
    models.Index("reference", "merchant", "mode", condition=~Q(reference=""), name="payout_by_reference"),
    # `search`: groups of three characters. With the merchant, so other merchants' payouts are not read.
    GinIndex(F("merchant"), OpClass(SearchText(), name="gin_trgm_ops"), condition=_LISTED, name="payout_search_terms"),
    # metadata[name]=value.
    GinIndex(
        F("merchant"), OpClass(F("metadata"), name="jsonb_path_ops"), condition=_LISTED, name="payout_by_metadata"
    ),
]

OF_THE_ENGINE: Final = [
    # Due payouts, for the sweeper. Small: final payouts are not in it.
    models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="payout_due"),
    # Number of calls under way at a provider.
    models.Index(
        fields=["provider", "lease_expires_at"], condition=Q(lease_expires_at__isnull=False), name="payout_leased"
    ),
    # The lanes of payouts to send and to ask about, and the order in each (payouts/engine/lanes.py).
    models.Index(
        fields=["provider", "mode", "merchant", "due_at"],
        condition=Q(status=PayoutStatus.PENDING, contradicted_at__isnull=True),
        name="payout_lane_of_sends",
    ),
    models.Index(
        fields=["provider", "mode", "merchant", "due_at"],
        condition=Q(status__in=ASKABLE, due_at__isnull=False),
        name="payout_lane_of_asks",
    ),
    # Pending payouts that may be too late to send.
    models.Index(
        fields=["give_up_at"],
        condition=Q(status=PayoutStatus.PENDING, contradicted_at__isnull=True),
        name="payout_to_give_up",
    ),
    # Payouts for an operator.
    models.Index(
        "updated_at",
        condition=Q(status=PayoutStatus.REQUIRES_ATTENTION) | Q(contradicted_at__isnull=False),
        name="payout_for_operator",
    ),
    # Unknown payouts, longest first.
    models.Index(fields=["first_sent_at"], condition=Q(status=PayoutStatus.UNKNOWN), name="payout_unknown"),
    # Submitted payouts of a provider, longest first: each provider has its own time for an outcome.
    models.Index(
        fields=["provider", "first_sent_at"], condition=Q(status=PayoutStatus.SUBMITTED), name="payout_submitted"
    ),
]
