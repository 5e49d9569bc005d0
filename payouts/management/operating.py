"""Shared parts of the operator's commands: actor, argument types, and refusals as sentences."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from accounts import services as accounts_services
from accounts.errors import MerchantNotFound
from payouts import operators
from payouts.engine import pauses
from payouts.models import Payout
from rest import ids, moments, texts
from rest.refusals import Refusal

# The maximum of Django's user names: actors of commands and of the admin fit into the same column.
_USER_LENGTH_MAX: Final = 150


def actor() -> str:
    """Return the name of the command's user in the history."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user without a name.
        user = f"uid {os.getuid()}"
    return f"{operators.ACTOR_PREFIX}{printable(user)[:_USER_LENGTH_MAX]}"


@contextmanager
def refusals_as_command_errors() -> Iterator[None]:
    """Turn refusals, and a missing or busy database, into a sentence and the exit code 1."""
    try:
        yield
    except Refusal as error:
        raise CommandError(error.message) from error
    except (OperationalError, InterfaceError) as error:
        raise CommandError(f"The database did not do it: {' '.join(str(error).split())}") from error


def name(text: str) -> str:
    """Read a name. A blank name, such as an unset shell variable, must never mean everything."""
    stripped = text.strip()
    if texts.problem_of_line(stripped) is not None:
        raise ArgumentTypeError(f"{text!r} is no name")
    return stripped


def payout_id(text: str) -> UUID:
    """Read the id of a payout in any spelling."""
    found = ids.parse(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no id of a payout")
    return found


def day(text: str) -> date:
    """Read a day in the form of RFC 3339."""
    parsed = moments.parse_day(text)
    if parsed is None:
        raise ArgumentTypeError(f"{text!r} is no day of the calendar such as 2026-11-23")
    return parsed


def add_days(parser: CommandParser) -> None:
    """Add options for the first and the last day (UTC)."""
    parser.add_argument("--from", type=day, metavar="DATE", dest="first", help="the first day; all if left out")
    parser.add_argument("--to", type=day, metavar="DATE", dest="last", help="the last day; all if left out")


def printable(text: str) -> str:
    """Return the text on one line, without control characters for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def add_reason(parser: CommandParser) -> None:
    """Add the option that every act of an operator on a payout needs."""
    parser.add_argument(
        "--reason",
        required=True,
        help="the evidence; kept in the history for ever, where the merchant can read it",
    )


class PayoutCommand(BaseCommand):
    """One action on one payout, with a reason."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("payout", type=payout_id, help="the payout's id")
        add_reason(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        with refusals_as_command_errors():
            payout = Payout.objects.filter(pk=options["payout"]).first()
            if payout is None:
                raise CommandError(f"There is no payout {options['payout']}.")
            done = self.act(payout, actor=actor(), reason=options["reason"], options=options)
        self.stderr.write(done)

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        """Do the action and return the message. May raise a Refusal."""
        raise NotImplementedError


def add_scope(parser: CommandParser) -> None:
    """Add options for exactly one scope of a pause."""
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("--everything", action="store_true", help="all merchants and providers")
    scope.add_argument("--provider", type=name, metavar="NAME", help="what goes through this provider")
    scope.add_argument("--merchant", type=name, metavar="NAME_OR_ID", help="the payouts of this merchant")


def scope_of(options: Mapping[str, Any]) -> pauses.Scope:
    """Return the scope of the options."""
    if options["merchant"] is None:
        return pauses.Scope(provider=options["provider"] or "")
    try:
        return pauses.Scope(merchant=accounts_services.get_merchant(options["merchant"]))
    except MerchantNotFound as error:
        raise CommandError(
            f"There is no merchant {options['merchant']!r}. Give its name or id: the admin lists all merchants, and "
            "the page of a payout names its own."
        ) from error
