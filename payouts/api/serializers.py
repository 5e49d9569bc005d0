"""The shape of requests and answers. Rules that need the database are in services.py."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models import Mode
from payouts import limits, money
from payouts.api import card_numbers, countries
from payouts.engine.holds import WaitingReason
from payouts.models import Payout, PayoutAttempt, PayoutTransition
from payouts.recipient_details import RecipientDetails
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus
from rest import moments, texts
from rest.serializers import StrictCharField, StrictSerializer, TextField


@extend_schema_field({"type": "string", "pattern": money.AMOUNT_PATTERN, "example": "10.50"})
class AmountField(serializers.Field[Decimal, str, str, Any]):
    """A positive decimal number as a string. How many decimals it may have depends on the currency."""

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str):
            raise serializers.ValidationError('Send the amount as a string, such as "10.50".', code="not_a_string")
        if not money.AMOUNT.fullmatch(data):
            raise serializers.ValidationError(
                'Write the amount as a plain positive decimal number, such as "10.50".', code="invalid_amount"
            )
        amount = Decimal(data)
        if not amount:
            raise serializers.ValidationError("The amount must be more than zero.", code="amount_not_positive")
        if amount >= money.AMOUNT_LIMIT:
            raise serializers.ValidationError(
                f"The amount must be under {money.AMOUNT_LIMIT}.", code="amount_too_large"
            )
        return amount


class CurrencyField(StrictCharField):
    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data)
        if problem := money.currency_problem(code):
            raise serializers.ValidationError(problem, code="unknown_currency")
        return code


class CountryField(serializers.RegexField):
    def run_validation(self, data: Any = serializers.empty) -> Any:
        # After the pattern: a text that does not match it gets no further error.
        code = super().run_validation(data)
        if isinstance(code, str) and (problem := countries.problem(code)):
            raise serializers.ValidationError(problem, code="unknown_country")
        return code


class RecipientDetailsSerializer(StrictSerializer):
    """Who gets the money."""

    name = StrictCharField(max_length=limits.RECIPIENT_NAME_LENGTH_MAX, help_text="Name of the account's holder.")
    account = StrictCharField(
        max_length=limits.RECIPIENT_ACCOUNT_LENGTH_MAX,
        help_text="IBAN or account number; in test mode also a sandbox token.",
    )
    bank_code = StrictCharField(
        max_length=limits.RECIPIENT_BANK_CODE_LENGTH_MAX,
        required=False,
        help_text="BIC, routing number or sort code.",
    )
    country = CountryField(
        r"^[A-Z]{2}\Z",
        required=False,
        help_text="ISO 3166-1 alpha-2 code of the account's country.",
        error_messages={"invalid": "Send two capital letters, an ISO 3166-1 alpha-2 code such as DE."},
    )
    address = StrictCharField(max_length=limits.RECIPIENT_ADDRESS_LENGTH_MAX, required=False)

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        for name, value in attrs.items():
            if card_numbers.contains_card_number(value):
                raise serializers.ValidationError({name: _card_number_refused()})
        return attrs


class RecipientTextField(StrictCharField):
    """Who gets the money, in one line. It is kept as it was sent: what is read back must be what was meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=limits.RECIPIENT_TEXT_LENGTH_MAX, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.strip():
            self.fail("blank")
        if card_numbers.contains_card_number(text):
            raise serializers.ValidationError([_card_number_refused()])
        return text


# Made once: validation changes nothing in them, and REST framework would copy all fields of each new one.
_RECIPIENT_TEXT: Final = RecipientTextField()
_RECIPIENT_OBJECT: Final = RecipientDetailsSerializer()


def _card_number_refused() -> serializers.ErrorDetail:
    return serializers.ErrorDetail(
        "This looks like a full card number. Card numbers are not accepted.", code="card_number_not_allowed"
    )


class RecipientDetailsField(serializers.Field[RecipientDetails, Any, RecipientDetails, Any]):
    """Who gets the money: a line of text, or an object. config/openapi.py describes it."""

    def to_internal_value(self, data: Any) -> RecipientDetails:
        if isinstance(data, str):
            return str(_RECIPIENT_TEXT.run_validation(data))
        if isinstance(data, dict):
            return dict(_RECIPIENT_OBJECT.run_validation(data))
        raise serializers.ValidationError("Send a string, or an object with name and account.", code="invalid")


@extend_schema_field({"type": "string", "format": "date-time", "example": "2026-11-24T12:00:00Z"})
class ExpiresAtField(serializers.Field[datetime, str, str, Any]):
    """A time in the future, with its offset from UTC (RFC 3339)."""

    def to_internal_value(self, data: Any) -> datetime:
        moment = moments.parse(data) if isinstance(data, str) else None
        if moment is None:
            raise serializers.ValidationError(
                "Write the time as RFC 3339 does, with its offset from UTC, such as 2026-01-31T12:00:00Z.",
                code="invalid_time",
            )
        now = timezone.now()
        if moment <= now:
            raise serializers.ValidationError("This time is over: send one in the future.", code="time_is_over")
        if moment > now + timedelta(days=limits.EXPIRES_DAYS_MAX):
            raise serializers.ValidationError(
                f"Send a time that is at most {limits.EXPIRES_DAYS_MAX} days ahead.", code="time_too_far"
            )
        return moment


class MetadataField(serializers.DictField):
    """At most 50 pairs of strings of your own."""

    child = TextField(max_length=limits.METADATA_VALUE_LENGTH_MAX, allow_blank=True, trim_whitespace=False)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        pairs: dict[str, str] = super().to_internal_value(self._with_stored_names(data))
        if len(pairs) > limits.METADATA_PAIRS_MAX:
            raise serializers.ValidationError(f"At most {limits.METADATA_PAIRS_MAX} pairs.", code="too_many_pairs")
        if any(not 1 <= len(name) <= limits.METADATA_NAME_LENGTH_MAX for name in pairs):
            raise serializers.ValidationError(
                f"A name has 1 to {limits.METADATA_NAME_LENGTH_MAX} characters.", code="invalid_name"
            )
        for name in pairs:
            if problem := texts.problem_of_line(name):
                raise serializers.ValidationError(f"A name: {problem.message}", code=problem.code)
        return pairs

    def _with_stored_names(self, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        pairs = {texts.normalised(name): value for name, value in data.items()}
        if len(pairs) < len(data):
            raise serializers.ValidationError("A name stands twice, in two spellings (NFC, NFD).", code="duplicate_key")
        return pairs


@extend_schema_serializer(component_name="CreatePayout")
class PayoutWriteSerializer(StrictSerializer):
    """What is to be paid, and to whom."""

    amount = AmountField(
        help_text='In units of the currency, with no more decimals than it has (ISO 4217): "10.50" EUR, "10" JPY.'
    )
    currency = CurrencyField(help_text="ISO 4217 code of money, upper case; funds and units of account are refused.")
    recipient_details = RecipientDetailsField(
        help_text="Who gets the money: a line of text, or an object with name and account. Answered as it was sent."
    )
    comment = TextField(max_length=limits.COMMENT_LENGTH_MAX, required=False, allow_blank=True)
    reference = StrictCharField(
        max_length=limits.REFERENCE_LENGTH_MAX, required=False, allow_blank=True, help_text="Your own id for it."
    )
    metadata = MetadataField(required=False, help_text="At most 50 pairs of strings of your own.")
    expires_at = ExpiresAtField(
        required=False,
        help_text="Until when it may be sent: in the future, and at most 30 days ahead. A payout that was not sent by "
        "then fails with the code `not_sent_in_time`. It says nothing of what was sent before.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        current: Payout | None = self.instance
        amount: Decimal = attrs["amount"] if "amount" in attrs or current is None else current.amount.normalize()
        currency: str = attrs["currency"] if "currency" in attrs or current is None else current.currency
        if not money.fits(amount, currency):
            message = f"{currency} has {money.decimals_of_currency(currency)} decimals; the amount has more."
            raise serializers.ValidationError({"amount": serializers.ErrorDetail(message, code="too_many_decimals")})
        return attrs


#: Reads the body of a POST. Made once, like those above.
NEW_PAYOUT: Final = PayoutWriteSerializer()


@extend_schema_serializer(component_name="UpdatePayout")
class PayoutUpdateSerializer(PayoutWriteSerializer):
    """The fields that are to change."""

    # Not `partial`: that would make the recipient's own fields optional too.
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
        return fields


# For the schema alone: documents.py writes the answers.
class PayoutSerializer(serializers.ModelSerializer[Payout]):
    """A payout as it is now."""

    amount = serializers.CharField(read_only=True, help_text="In units of the currency, with all its decimals.")
    status = serializers.ChoiceField(choices=PayoutStatus.choices, read_only=True)
    mode = serializers.ChoiceField(choices=Mode.choices, read_only=True)
    recipient_details = RecipientDetailsField(read_only=True, help_text="As it was sent: a string or an object.")
    metadata = serializers.DictField(child=serializers.CharField(), read_only=True)
    idempotency_key = serializers.CharField(read_only=True, allow_null=True)
    failure_code = serializers.CharField(
        help_text=(
            "Why it failed or came back; empty otherwise. `not_sent_in_time`: it was not sent before `expires_at`, or "
            "could not be sent for days."
        ),
        read_only=True,
    )
    waiting_reason = serializers.ChoiceField(
        choices=WaitingReason.choices,
        allow_blank=True,
        read_only=True,
        help_text=(
            "Why a pending or unknown payout is held up; empty if it only waits for its turn, and in the answer that "
            "creates it."
        ),
    )

    provider = serializers.CharField(read_only=True, help_text="Through which provider it is paid out.")
    provider_reference = serializers.CharField(
        read_only=True, help_text="The provider's own id for it, for reconciliation; empty until it is known."
    )
    completed_at = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text=(
            "When it became `paid`, `failed`, `canceled` or `returned`; null before, and again if an operator has a "
            "failed one sent again."
        ),
    )

    expires_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Until when it may be sent; null for no limit of yours."
    )

    class Meta:
        model = Payout
        fields = (
            "id",
            "status",
            "mode",
            "amount",
            "currency",
            "recipient_details",
            "comment",
            "reference",
            "metadata",
            "idempotency_key",
            "failure_code",
            "failure_message",
            "waiting_reason",
            "created_at",
            "updated_at",
            "provider",
            "provider_reference",
            "completed_at",
            "expires_at",
        )
        read_only_fields = fields


class TransitionSerializer(serializers.ModelSerializer[PayoutTransition]):
    """A change of status."""

    from_status = serializers.ChoiceField(
        choices=PayoutStatus.choices, allow_blank=True, read_only=True, help_text="Empty for the first."
    )
    to_status = serializers.ChoiceField(choices=PayoutStatus.choices, read_only=True)

    class Meta:
        model = PayoutTransition
        fields = ("from_status", "to_status", "actor", "reason", "created_at")
        read_only_fields = fields


class AttemptSerializer(serializers.ModelSerializer[PayoutAttempt]):
    """A try at the provider, a report of it, or a decision of an operator."""

    kind = serializers.ChoiceField(choices=AttemptKind.choices, read_only=True)
    outcome = serializers.ChoiceField(
        choices=AttemptOutcome.choices, allow_blank=True, read_only=True, help_text="Empty while it is under way."
    )

    class Meta:
        model = PayoutAttempt
        fields = ("number", "kind", "started_at", "finished_at", "outcome", "code", "message")
        read_only_fields = fields


class HistorySerializer(serializers.Serializer[Any]):
    """What happened to a payout, oldest first, a page of each list at a time."""

    transitions = TransitionSerializer(many=True)
    attempts = AttemptSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="The page after this one; null on the last.")
    previous = serializers.URLField(allow_null=True, help_text="The page before this one; null on the first.")
