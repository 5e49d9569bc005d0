from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import errors, services
from accounts.models import Merchant
from rest import refusals


class Command(BaseCommand):
    help = "Create a merchant and print its id, and nothing else, on stdout."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the merchant's name, at most 100 characters")
        parser.add_argument(
            "--if-missing", action="store_true", help="print the id of the merchant that has the name already"
        )
        parser.add_argument(
            "--require-idempotency-key",
            action="store_true",
            help="refuse this merchant's requests for a payout that have no Idempotency-Key",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        try:
            merchant = services.create_merchant(
                options["name"], require_idempotency_key=options["require_idempotency_key"]
            )
        except errors.MerchantExists as error:
            if not options["if_missing"]:
                raise CommandError(f"{error.message} Add --if-missing to print its id.") from error
            merchant = self._existing(options["name"])
            if options["require_idempotency_key"] and not merchant.require_idempotency_key:
                raise CommandError(
                    f"{merchant.name!r} is there and does not require an Idempotency-Key. Switch it on in the admin, "
                    "or leave out --require-idempotency-key."
                ) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(str(merchant.id))
        self.stderr.write(f"Next: manage.py issue_api_key {merchant.id}")

    def _existing(self, name: str) -> Merchant:
        try:
            return services.get_merchant(name)
        except refusals.Refusal as error:
            raise CommandError(error.message) from error
