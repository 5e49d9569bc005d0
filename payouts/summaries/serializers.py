"""The shape of a summary."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from payouts.states import PayoutStatus


class SummaryTotalSerializer(serializers.Serializer[Any]):
    """The payouts of one currency, counted and summed."""

    currency = serializers.CharField()
    count = serializers.IntegerField()
    amount = serializers.CharField(help_text="Sum, in units of the currency.")
    average = serializers.CharField(help_text="Rounded half to even, to the decimals of the currency.")
    min = serializers.CharField(help_text="The least amount.")
    max = serializers.CharField(help_text="The greatest amount.")


class SummaryRowSerializer(SummaryTotalSerializer):
    """The payouts of one group, counted and summed."""

    day = serializers.DateField(required=False, help_text="If `group_by` has `day`.")
    status = serializers.ChoiceField(choices=PayoutStatus.choices, required=False)
    provider = serializers.CharField(required=False, help_text="If `group_by` has `provider`.")


class SummarySerializer(serializers.Serializer[Any]):
    """Payouts, counted and summed."""

    results = SummaryRowSerializer(many=True)
    totals = SummaryTotalSerializer(many=True)
