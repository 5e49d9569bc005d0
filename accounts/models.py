from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager
from uuid_utils.compat import uuid7

from accounts import callers, names
from accounts.validators import validate_line, validate_merchant_name
from rest import texts


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


class MerchantQuerySet(models.QuerySet["Merchant"]):
    """Each method that writes a name also writes its key."""

    def named(self, name: str) -> list[Merchant]:
        """Return the merchants with this name: more than one only if an older version wrote during the upgrade."""
        key = names.key_of(name)
        if not key or not texts.is_storable(key):
            return []
        found: list[Merchant] = [*self.with_key().filter(name_key=key)]
        return found + [merchant for merchant in self.without_key() if names.key_of(merchant.name) == key]

    def named_like(self, part: str) -> Self:
        """Merchants whose name contains this text, by the same rule."""
        key = names.key_of(part)
        if not key or not texts.is_storable(part):
            return self.none()
        written = models.Q(name__icontains=texts.normalised(part).strip())
        return self.filter(written | models.Q(name_key__contains=key))

    def with_key(self) -> Self:
        return self.filter(keyed_name=models.F("name"))

    def without_key(self) -> Self:
        """Merchants that an older version created or renamed. Older versions write no key."""
        return self.exclude(keyed_name=models.F("name"))

    # The stubs spell the options out.
    def bulk_create(self, objs: Iterable[Merchant], *args: Any, **options: Any) -> list[Merchant]:  # type: ignore[override]
        merchants = list(objs)
        for merchant in merchants:
            merchant.write_key()
        super().bulk_create(merchants, *args, **options)  # type: ignore[arg-type] # Likewise.
        return merchants

    def update(self, **kwargs: Any) -> int:
        if "name" in kwargs:
            # An expression has no key. bulk_update passes an expression, too.
            if not isinstance(kwargs["name"], str):
                raise TypeError("Give merchants a name that is known here, or save them one by one.")
            kwargs |= _name_columns(kwargs["name"])
        return super().update(**kwargs)


def _name_columns(name: str) -> dict[str, str]:
    stored = texts.normalised(name).strip()
    return {"name": stored, "name_key": names.key_of(stored), "keyed_name": stored}


class Merchant(models.Model):
    """The tenant: owner of payouts, API keys and idempotency records."""

    # REST framework reads this attribute of request.user. Only authentication returns a merchant.
    is_authenticated: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, validators=[validate_merchant_name])
    #: Key of the name by the rule of accounts/names.py, for uniqueness and look-up.
    name_key = models.CharField(max_length=names.KEY_LENGTH_MAX, null=True, editable=False)  # noqa: DJ001 - NULL: never written
    #: Name that the key was made from. Older versions write neither column; the key is then outdated.
    keyed_name = models.CharField(max_length=100, null=True, editable=False)  # noqa: DJ001 - NULL: never written
    is_active = models.BooleanField(
        "active", default=True, help_text="A suspended merchant's API keys are refused; its payouts under way go on."
    )
    require_idempotency_key = models.BooleanField(
        default=False, help_text="Refuse a request for a payout that has no Idempotency-Key."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = MerchantQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            # "ACME" beside "Acme" would be a trap for users who pick a merchant from a list.
            models.UniqueConstraint(fields=["name_key"], name="merchant_name_key_unique"),
            # The previous version relies on it.
            models.UniqueConstraint(
                Lower("name"),
                name="merchant_name_unique",
                violation_error_message="There is a merchant of that name already.",
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="merchant_name_not_blank"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        if update_fields is None:
            self.write_key()
        elif "name" in (update_fields := set(update_fields)):
            self.write_key()
            update_fields |= {"name_key", "keyed_name"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        if "name" not in (exclude or ()):
            # The limit counts what is stored.
            self.name = texts.normalised(self.name)
        super().clean_fields(exclude=exclude)

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        if "name" not in (exclude or ()) and Merchant.objects.exclude(pk=self.pk).named(self.name):
            raise ValidationError({"name": "There is a merchant of that name already."}, code="unique")
        super().validate_constraints(exclude=exclude)

    def write_key(self) -> None:
        """Set the columns that derive from the name. The caller saves the row."""
        for column, value in _name_columns(self.name).items():
            setattr(self, column, value)

    def key_stored_name(self) -> None:
        """Write the key of the stored name, unless the name has changed since it was read."""
        stored = Merchant.objects.filter(pk=self.pk, name=self.name)
        stored.update(name_key=names.key_of(self.name), keyed_name=self.name)


class MerchantAPIKeyManager(BaseAPIKeyManager):
    def assign_key(self, obj: AbstractAPIKey) -> str:
        """Generate a key. The primary key stays a random id.

        The library would build it from prefix and hash, and each URL of the admin would show the hash.
        """
        key, prefix, hashed_key = self.key_generator.generate()
        obj.prefix, obj.hashed_key = prefix, hashed_key
        return key


class MerchantAPIKey(AbstractAPIKey):
    """The credential of a merchant's backend. The secret is stored as a hash and shown once."""

    # These replace what the library declares, which Django allows for an abstract base.
    objects = MerchantAPIKeyManager()  # type: ignore[assignment,misc]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # type: ignore[assignment]
    name = models.CharField(
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
        """Tell whether a caller from this address may use the key. An unreadable address may not."""
        return callers.is_allowed(address, self.allowed_networks)
