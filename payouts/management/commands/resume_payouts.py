from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payouts import errors
from payouts.engine import pauses as pausing
from payouts.management import operating
from payouts.models import Pause

_LISTED_MAX: Final = 20


class Command(BaseCommand):
    help = "End a pause. What it has held back is sent, unless another pause holds it as well."

    def add_arguments(self, parser: CommandParser) -> None:
        operating.add_scope(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        with operating.refusals_as_command_errors():
            scope = operating.scope_of(options)
            try:
                pausing.resume(scope, actor=operating.actor())
            except errors.NotPaused as error:
                raise CommandError(f"Not paused: {scope}. {_what_is_paused()}") from error
        self.stderr.write(f"Resumed: {scope}.")


def _what_is_paused() -> str:
    pauses = Pause.objects.active().select_related("merchant").order_by("id")[: _LISTED_MAX + 1]
    scopes = [str(pausing.Scope(merchant=pause.merchant, provider=pause.provider)) for pause in pauses]
    if not scopes:
        return "Nothing is."
    listed = ", ".join(scopes[:_LISTED_MAX])
    return f"Paused now: {listed}{' and more' if len(scopes) > _LISTED_MAX else ''}."
