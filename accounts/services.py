"""Operations on merchants and their API keys.

The function that makes a key returns its secret once. The secret is never stored or logged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import errors, names
from accounts.models import Merchant, MerchantAPIKey, Mode, every_scope
from postgres.errors import violates
from rest import texts

logger = logging.getLogger(__name__)

#: The constraints on a merchant's name: the current rule, and the rule of the previous version.
_NAME_IS_TAKEN: Final = ("merchant_name_key_unique", "merchant_name_unique")


def create_merchant(name: str, *, require_idempotency_key: bool = False) -> Merchant:
    """Create an active merchant.

    Raises MerchantExists if the name is taken by the rule of accounts/names.py. Raises ValidationError if the name is
    blank, over 100 characters, not one line, partly invisible, or like an id.
    """
    merchant = Merchant(name=name, require_idempotency_key=require_idempotency_key)
    # Saving strips white space, and with it characters that must be refused.
    merchant.clean_fields()
    key_names()
    save_merchant(merchant, force_insert=True)
    logger.info("merchant.created", extra={"merchant_id": str(merchant.id)})
    return merchant


def save_merchant(merchant: Merchant, **options: Any) -> None:
    """Save a new or changed merchant. The options are those of Model.save.

    Raises MerchantExists if the name is taken. Nothing is written then, and the caller's transaction stays usable.
    """
    try:
        with transaction.atomic():
            merchant.save(**options)
    except IntegrityError as error:
        if not violates(error, *_NAME_IS_TAKEN):
            raise
        raise errors.MerchantExists(f"There is a merchant named {merchant.name!r} already.") from error


def key_names() -> None:
    """Write the name key of merchants that an older version created or renamed during the upgrade.

    A merchant whose name is taken by the rule gets no key. A look-up of that name is then refused as ambiguous.
    """
    for merchant in Merchant.objects.without_key():
        try:
            with transaction.atomic():
                merchant.key_stored_name()
        except IntegrityError:
            logger.exception("merchant.name.taken", extra={"merchant_id": str(merchant.pk)})


def get_merchant(name_or_id: str) -> Merchant:
    """Return the merchant with this id (in any spelling) or this name (by the rule of accounts/names.py).

    Raises MerchantNotFound if none fits. Raises MerchantAmbiguous if more than one fits: a pause or an API key must
    never go to the wrong merchant.
    """
    id_ = names.id_in(name_or_id)
    of_id = list(Merchant.objects.filter(pk=id_)) if id_ else []
    found = {merchant.pk: merchant for merchant in of_id + Merchant.objects.named(name_or_id)}
    if not found:
        raise errors.MerchantNotFound(
            f"There is no merchant {name_or_id!r}. Create one with: manage.py create_merchant NAME"
        )
    if len(found) > 1:
        ids = ", ".join(sorted(str(pk) for pk in found))
        raise errors.MerchantAmbiguous(f"More than one merchant fits {name_or_id!r}. Give the id: {ids}.")
    return next(iter(found.values()))


def issue_api_key(
    merchant: Merchant,
    *,
    name: str,
    mode: str = Mode.TEST,
    scopes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    allowed_networks: Sequence[str] = (),
) -> tuple[MerchantAPIKey, str]:
    """Issue a key and return it with its secret, which cannot be read again.

    `scopes=None` gives the key all scopes. Raises APIKeyRequestInvalid for an unknown mode, scope or network, an empty
    list of scopes, an expiry that is not in the future, or a name that is blank, too long or not one line.
    """
    if expires_at is not None and expires_at <= timezone.now():
        raise errors.APIKeyRequestInvalid("The expiry must be in the future.", field="expiry_date")
    api_key = MerchantAPIKey(
        merchant=merchant,
        name=texts.normalised(name),
        mode=mode,
        scopes=every_scope() if scopes is None else sorted(set(scopes)),
        expiry_date=expires_at,
        allowed_networks=list(allowed_networks),
    )
    try:
        api_key.clean_fields(exclude=["prefix", "hashed_key", "merchant"])
    except ValidationError as error:
        raise errors.APIKeyRequestInvalid(" ".join(error.messages)) from error
    return _issue(api_key)


def _issue(api_key: MerchantAPIKey) -> tuple[MerchantAPIKey, str]:
    secret = MerchantAPIKey.objects.assign_key(api_key)
    api_key.save(force_insert=True)
    extra = {"prefix": api_key.prefix, "mode": str(api_key.mode), "merchant_id": str(api_key.merchant_id)}
    logger.info("key.issued", extra=extra)
    return api_key, secret


def rotate_api_key(api_key: MerchantAPIKey, *, overlap: timedelta) -> tuple[MerchantAPIKey, str]:
    """Issue a successor with the same rights and expiry. The old key expires after the overlap, or earlier.

    Raises APIKeyRevoked if the key is revoked, and APIKeyExpired if the key has expired.
    Idempotency records belong to merchant and mode, so a rotation loses none.
    """
    with transaction.atomic():
        old = MerchantAPIKey.objects.select_for_update(of=("self",)).select_related("merchant").get(pk=api_key.pk)
        if old.revoked:
            raise errors.APIKeyRevoked
        if old.expired_at(timezone.now()):
            raise errors.APIKeyExpired
        ends_at = timezone.now() + overlap
        if old.expiry_date is None or old.expiry_date > ends_at:
            MerchantAPIKey.objects.filter(pk=old.pk).update(expiry_date=ends_at)
        # Not validated: the name may break a newer rule, and a rotation must not fail because of that.
        successor = MerchantAPIKey(
            merchant=old.merchant,
            name=old.name,
            mode=old.mode,
            scopes=old.scopes,
            expiry_date=old.expiry_date,
            allowed_networks=old.allowed_networks,
        )
        return _issue(successor)


def revoke_api_key(api_key: MerchantAPIKey) -> bool:
    """Revoke the key permanently. Return False if the key was revoked before."""
    revoked = MerchantAPIKey.objects.filter(pk=api_key.pk, revoked=False).update(
        revoked=True, revoked_at=timezone.now()
    )
    if revoked:
        logger.info("key.revoked", extra={"prefix": api_key.prefix})
    return bool(revoked)
