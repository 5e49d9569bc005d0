from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import services
from accounts.models import Mode, Scope
from rest import refusals

# A hundred years; beyond it the date would not fit the database's calendar for long.
EXPIRES_IN_DAYS_MAX = 36_500


class Command(BaseCommand):
    help = "Issue an API key and print it, and nothing else, on stdout. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("merchant", help="the merchant's name or id")
        parser.add_argument("--mode", choices=Mode.values, default=Mode.TEST.value, help="test unless told otherwise")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            dest="scopes",
            help="what the key may do; repeat it for more than one; without it the key may do everything",
        )
        parser.add_argument("--expires-in-days", type=int, metavar="N", help="without it the key never expires")
        parser.add_argument(
            "--allow-network",
            action="append",
            default=[],
            metavar="CIDR",
            help="where it may be used from; repeat it for more than one; without it from anywhere",
        )
        parser.add_argument("--name", default="issued by command", help="what the key is for, at most 50 characters")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        days = options["expires_in_days"]
        if days is not None and not 1 <= days <= EXPIRES_IN_DAYS_MAX:
            raise CommandError(f"--expires-in-days takes a whole number from 1 to {EXPIRES_IN_DAYS_MAX}.")
        try:
            merchant = services.get_merchant(options["merchant"])
            api_key, secret = services.issue_api_key(
                merchant,
                name=options["name"],
                mode=options["mode"],
                scopes=options["scopes"],
                expires_at=None if days is None else timezone.now() + timedelta(days=days),
                allowed_networks=options["allow_network"],
            )
        except refusals.Refusal as error:
            raise CommandError(error.message) from error
        self.stdout.write(secret)
        if api_key.mode == Mode.LIVE and not settings.LIVE_PROVIDER:
            self.stderr.write("No live provider is configured: payouts with this key are refused until there is one.")
        self.stderr.write(
            f"A {api_key.mode} key of {merchant.name} with {', '.join(api_key.scopes)}. It is not shown again: keep it."
        )
