from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from payouts.states import TRANSITIONS, PayoutStatus

DOCUMENT: Final = Path(settings.BASE_DIR, "docs", "states.md")
_BEGIN, _END = "```mermaid\n", "```\n"

_S = PayoutStatus
#: Causes of changes, if the statuses alone do not tell.
_LABELS: Final[dict[tuple[PayoutStatus, PayoutStatus], str]] = {
    (_S.PENDING, _S.PROCESSING): "claimed",
    (_S.PENDING, _S.CANCELED): "by the merchant",
    (_S.PROCESSING, _S.PENDING): "not sent",
    (_S.PROCESSING, _S.SUBMITTED): "accepted",
    (_S.PROCESSING, _S.FAILED): "rejected",
    (_S.PROCESSING, _S.UNKNOWN): "no clear answer, or the lease ran out",
    (_S.SUBMITTED, _S.REQUIRES_ATTENTION): "not final in time",
    (_S.UNKNOWN, _S.PROCESSING): "sent again, same reference",
    (_S.UNKNOWN, _S.REQUIRES_ATTENTION): "not known in time",
    (_S.REQUIRES_ATTENTION, _S.PAID): "by an operator, or the provider's word",
    (_S.REQUIRES_ATTENTION, _S.FAILED): "by an operator, or the provider's word",
    (_S.REQUIRES_ATTENTION, _S.PENDING): "by an operator",
    (_S.PAID, _S.RETURNED): "by an operator, or the provider's word",
    (_S.FAILED, _S.PENDING): "by an operator",
    (_S.FAILED, _S.PAID): "by an operator, with evidence",
    (_S.CANCELED, _S.PAID): "by an operator, with evidence",
}
#: Final for a merchant, though money may come back and an operator may retry.
_ENDS: Final = (_S.PAID, _S.FAILED, _S.CANCELED, _S.RETURNED)


class Command(BaseCommand):
    help = "Draw the table of statuses (payouts/states.py) as a Mermaid diagram into docs/states.md."
    # The command reads a table in the code, and no database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail where the document is not current"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        text = DOCUMENT.read_text(encoding="utf-8")
        drawn = insert(text)
        if drawn == text:
            return
        if options["check"]:
            raise CommandError("The diagram in docs/states.md is not that of payouts/states.py: run `make states`.")
        DOCUMENT.write_text(drawn, encoding="utf-8")


def insert(text: str) -> str:
    """Return the document with the current diagram. The rest stays."""
    before, found, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (found and end):
        raise CommandError(f"{DOCUMENT} has no Mermaid block to draw into.")
    return f"{before}{_BEGIN}{diagram()}{_END}{after}"


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {_S.PENDING.value}"
    for source, targets in TRANSITIONS.items():
        for target in sorted(targets, key=list(PayoutStatus).index):
            label = _LABELS.get((source, target))
            yield f"    {source.value} --> {target.value}" + (f": {label}" if label else "")
    for end in _ENDS:
        yield f"    {end.value} --> [*]"
