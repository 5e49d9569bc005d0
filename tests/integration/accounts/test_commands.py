"""Commands whose stdout a script captures: one line there and nothing else."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Merchant, MerchantAPIKey
from tests.support import factories

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Written:
    stdout: str
    stderr: str


def run(*arguments: str) -> Written:
    """Run a command and return what it wrote."""
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=stdout, stderr=stderr, no_color=True)
    return Written(stdout.getvalue(), stderr.getvalue())


class TestCreateMerchant:
    def test_prints_the_id_alone(self) -> None:
        written = run("create_merchant", "Hooli")

        merchant = Merchant.objects.get()
        assert written.stdout == f"{merchant.id}\n"
        assert uuid.UUID(written.stdout.strip()) == merchant.id
        assert written.stderr == f"Next: manage.py issue_api_key {merchant.id}\n"
        assert (merchant.name, merchant.require_idempotency_key) == ("Hooli", False)

    def test_may_require_an_idempotency_key(self) -> None:
        run("create_merchant", "hooli", "--require-idempotency-key")

        assert Merchant.objects.get().require_idempotency_key is True

    def test_a_name_that_is_taken_says_what_to_do(self, acme: Merchant) -> None:
        with pytest.raises(CommandError) as refused:
            run("create_merchant", "ACME")

        assert str(refused.value) == "There is a merchant named 'ACME' already. Add --if-missing to print its id."
        assert refused.value.returncode == 1

    @pytest.mark.parametrize("name", ["acme", " ACME "])
    def test_if_missing_prints_the_id_that_it_has(self, acme: Merchant, name: str) -> None:
        assert run("create_merchant", name, "--if-missing").stdout == f"{acme.id}\n"
        assert Merchant.objects.count() == 1

    def test_if_missing_does_not_pretend_to_require_keys(self, acme: Merchant) -> None:
        with pytest.raises(CommandError, match="does not require an Idempotency-Key"):
            run("create_merchant", "acme", "--if-missing", "--require-idempotency-key")

        acme.refresh_from_db()
        assert acme.require_idempotency_key is False

    def test_if_missing_creates_it(self) -> None:
        assert run("create_merchant", "hooli", "--if-missing").stdout == f"{Merchant.objects.get().id}\n"

    @pytest.mark.parametrize(
        ("name", "words"), [("", "cannot be blank"), ("a" * 101, "at most 100 characters"), ("a\nb", "control")]
    )
    def test_a_bad_name_says_what_is_wrong(self, name: str, words: str) -> None:
        with pytest.raises(CommandError, match=words):
            run("create_merchant", name)

        assert Merchant.objects.count() == 0


class TestIssueAPIKey:
    def test_prints_the_key_alone(self, acme: Merchant) -> None:
        written = run("issue_api_key", "acme")

        api_key = MerchantAPIKey.objects.get()
        secret = written.stdout.removesuffix("\n")
        assert secret.startswith(f"{api_key.prefix}.")
        assert secret.split() == [secret]
        assert factories.client_with(secret).get("/api/me/").status_code == 200
        assert written.stderr == (
            "A test key of acme with payouts:read, payouts:write, reports:read. It is not shown again: keep it.\n"
        )

    def test_takes_the_id(self, acme: Merchant) -> None:
        run("issue_api_key", str(acme.id))

        assert MerchantAPIKey.objects.get().merchant == acme

    def test_does_what_the_options_say(self, acme: Merchant) -> None:
        run(
            *("issue_api_key", "acme", "--mode", "live", "--scope", "payouts:read", "--scope", "reports:read"),
            *("--expires-in-days", "30", "--name", "nightly", "--allow-network", "203.0.113.0/24"),
        )

        api_key = MerchantAPIKey.objects.get()
        assert (api_key.mode, api_key.scopes) == ("live", ["payouts:read", "reports:read"])
        assert (api_key.name, api_key.allowed_networks) == ("nightly", ["203.0.113.0/24"])
        assert api_key.expiry_date is not None
        assert abs(api_key.expiry_date - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("hooli",), "There is no merchant 'hooli'. Create one with: manage.py create_merchant NAME"),
            (("acme", "--mode", "sandbox"), "invalid choice: 'sandbox'"),
            (("acme", "--scope", "everything"), "invalid choice: 'everything'"),
            (("acme", "--expires-in-days", "0"), "--expires-in-days takes a whole number from 1 to 36500"),
            (("acme", "--expires-in-days", "-1"), "--expires-in-days takes a whole number from 1 to 36500"),
            (("acme", "--expires-in-days", "36501"), "--expires-in-days takes a whole number from 1 to 36500"),
            (("acme", "--expires-in-days", "soon"), "--expires-in-days"),
            (("acme", "--name", "n" * 51), "at most 50 characters"),
            (("acme", "--allow-network", "home"), "home is not a network such as 203.0.113.0/24"),
            ((), "merchant"),
        ],
    )
    def test_a_refusal_says_what_is_wrong(self, acme: Merchant, arguments: tuple[str, ...], words: str) -> None:
        with pytest.raises(CommandError) as refused:
            run("issue_api_key", *arguments)

        assert words in str(refused.value)
        assert MerchantAPIKey.objects.count() == 0

    def test_the_secret_is_in_no_log(self, acme: Merchant, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")

        written = run("issue_api_key", "acme")

        hidden = written.stdout.strip().split(".")[1]
        assert hidden not in str([record.__dict__ for record in caplog.records])
        assert hidden not in written.stderr
