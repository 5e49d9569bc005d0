"""The provider of test payouts. It moves no money; the recipient's account says how it behaves (docs/sandbox.md).

A recipient that is a text is its own account. The sandbox keeps no state: each answer follows from the account, the
number of the attempt and the time since the first one. So all workers answer alike, also after a restart.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from payouts.providers import base

#: Code -> message of each refusal that `sandbox_rejected_<code>` triggers.
REJECTIONS: Final = {
    "account_closed": "The recipient's account is closed.",
    "account_not_found": "There is no such account at the recipient's bank.",
    "bank_unavailable": "The recipient's bank does not take part in this payment scheme.",
    "compliance_refused": "The payment was refused for compliance reasons.",
    "currency_not_supported": "The recipient's account does not take this currency.",
    "insufficient_funds": "The paying account has too little money.",
    "invalid_account": "The recipient's account number is malformed.",
    "limit_exceeded": "The payment is over the limit of the paying account.",
    "recipient_name_mismatch": "The recipient's name does not match the account.",
}
#: The code of a returned `sandbox_returned` payout.
RETURN_CODE: Final = "account_closed"

FINAL_AFTER_SECONDS: Final = 2.0
RETURNED_AFTER_SECONDS: Final = 4.0
#: Slow enough to see, far under the 30 s limit of a call.
SLOW_SECONDS: Final = 3.0

_UNAVAILABLE = re.compile(r"sandbox_unavailable_([1-9])")
_REJECTED = re.compile(r"sandbox_rejected_([a-z_]+)")


class SandboxProvider:
    name = "sandbox"
    identity = "sandbox"
    capabilities = base.Capabilities(
        idempotency_window_seconds=24 * 3600.0,
        settle_time_seconds=3600.0,
        return_window_seconds=60.0,
        # Each payout's account decides if it fails: one merchant's rehearsal must not stop the others.
        fails_as_a_whole=False,
    )

    def send(self, instruction: base.Instruction) -> base.Report:
        account = _account(instruction)
        if unavailable := _UNAVAILABLE.fullmatch(account):
            _refuse_connection(instruction.attempt, times=int(unavailable[1]))
        if (rejected := _REJECTED.fullmatch(account)) and rejected[1] in REJECTIONS:
            raise base.Rejected(rejected[1], REJECTIONS[rejected[1]])
        if account == "sandbox_unknown":
            raise base.OutcomeUnknown("timeout", "The provider did not answer in time.")
        if account == "sandbox_slow":
            time.sleep(SLOW_SECONDS)
        kind = base.ReportKind.ACCEPTED if account == "sandbox_accepted" else base.ReportKind.PAID
        return _report(instruction, kind)

    def ask(self, instruction: base.Instruction) -> base.Report:
        account = _account(instruction)
        if account == "sandbox_accepted" and instruction.age_seconds < FINAL_AFTER_SECONDS:
            return _report(instruction, base.ReportKind.ACCEPTED)
        if account == "sandbox_returned" and instruction.age_seconds >= RETURNED_AFTER_SECONDS:
            return _report(instruction, base.ReportKind.RETURNED, RETURN_CODE, REJECTIONS[RETURN_CODE])
        if (rejected := _REJECTED.fullmatch(account)) and rejected[1] in REJECTIONS:
            raise base.Rejected(rejected[1], REJECTIONS[rejected[1]])
        return _report(instruction, base.ReportKind.PAID)

    def authenticate_callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Refuse: the sandbox sends no callbacks, so any callback in its name is forged."""
        del headers, body
        raise base.CallbackRefused("The sandbox sends no callbacks.")

    def parse_callback(self, body: bytes) -> base.CallbackReport:
        """Refuse: the sandbox sends no callbacks."""
        del body
        raise base.CallbackUnreadable("The sandbox sends no callbacks.")


def _account(instruction: base.Instruction) -> str:
    recipient = instruction.recipient_details
    # An object's account is stripped already; a text is kept as sent.
    return recipient.strip() if isinstance(recipient, str) else recipient.get("account", "")


def _refuse_connection(attempt: int, *, times: int) -> None:
    if attempt <= times:
        raise base.Unavailable("connection_refused", "The provider cannot be reached.")


def _report(instruction: base.Instruction, kind: base.ReportKind, code: str = "", message: str = "") -> base.Report:
    return base.Report(
        kind,
        provider_reference=f"sandbox-{instruction.reference}",
        code=code,
        message=message,
        is_final=kind != base.ReportKind.ACCEPTED and _account(instruction) != "sandbox_returned",
    )
