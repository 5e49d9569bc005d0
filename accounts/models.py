from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager
from uuid_utils.compat import uuid7

from accounts import addresses
from accounts.validators import validate_line


class Mode(models.TextChoices):
    """Live moves money; test never does. The data of the two never mix."""

    LIVE = "live", "Live"
    TEST = "test", "Test"


class Scope(models.TextChoices):
    """What an API key may do."""

    PAYOUTS_READ = "payouts:read", "Read, list, sum and export payouts"
    PAYOUTS_WRITE = "payouts:write", "Ask for, change and cancel payouts"
    REPORTS_READ = "reports:read", "List, sum and export payouts only"


def every_scope() -> list[str]:
    return [scope.value for scope in Scope]


def validate_network(value: str) -> None:
    """Accept a network in CIDR notation, or one address."""
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValidationError(
            "%(value)s is not a network such as 203.0.113.0/24.", code="invalid", params={"value": value}
        ) from error


class Merchant(models.Model):
    """The tenant: whose payouts, API keys and idempotency records these are."""

    # REST framework asks this of whoever authentication returns. A merchant is only ever returned by it.
    is_authenticated: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=100,
        validators=[validate_line],
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="A suspended merchant's API keys are refused; its payouts under way go on."
    )
    require_idempotency_key = models.BooleanField(
        default=False, help_text="Refuse a request for a payout that has no Idempotency-Key."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            # "ACME" beside "Acme" would be a trap for everybody who picks a merchant from a list.
            models.UniqueConstraint(
                Lower("name"),
                name="merchant_name_unique",
                violation_error_message="There is a merchant of that name already.",
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="merchant_name_not_blank"),
        ]

    def __str__(self) -> str:
        return self.name


class MerchantAPIKeyManager(BaseAPIKeyManager):
    def assign_key(self, obj: AbstractAPIKey) -> str:
        """Generate a key. The primary key stays a random id.

        The library would make it of the prefix and the hash, and the hash would be in each URL of the admin.
        """
        key, prefix, hashed_key = self.key_generator.generate()
        obj.prefix, obj.hashed_key = prefix, hashed_key
        return key


class MerchantAPIKey(AbstractAPIKey):
    """What a merchant's backend shows to prove who it is. The secret is kept as a hash and shown once."""

    # These replace what the library declares, which Django allows for an abstract base.
    objects = MerchantAPIKeyManager()  # type: ignore[assignment,misc]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # type: ignore[assignment]
    name = models.CharField(  # type: ignore[assignment]
        max_length=50, validators=[validate_line], help_text="What it is for, so that others know it in the list."
    )
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="api_keys")
    mode = models.CharField(max_length=4, choices=Mode, default=Mode.TEST)
    scopes = ArrayField(models.CharField(max_length=32, choices=Scope), default=every_scope)
    allowed_networks = ArrayField(
        models.CharField(max_length=43, validators=[validate_network]),
        default=list,
        blank=True,
        help_text="Networks in CIDR notation, separated by commas. Empty: from anywhere.",
    )
    #: Written at most once a minute (accounts/authentication.py).
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering = ("-created",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="api_key_mode_known"),
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=list(Scope.values)) & ~models.Q(scopes=[]),
                name="api_key_scopes_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix} ({self.mode})"

    def expired_at(self, now: datetime) -> bool:
        return self.expiry_date is not None and self.expiry_date <= now

    def allows_address(self, address: str) -> bool:
        """Tell whether a caller from this address may use the key; one that cannot be read may not."""
        if not self.allowed_networks:
            return True
        caller = addresses.parse(address)
        return caller is not None and any(caller in ipaddress.ip_network(network) for network in self.allowed_networks)
