from __future__ import annotations

import hmac
from typing import Any

import pytest

from sandbox_bank import signatures
from sandbox_bank.responses import Refusal

NOW = 1_700_000_000.0


class TestSignWebhook:
    def test_gives_the_example_of_the_standard(self) -> None:
        key = signatures.webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

        headers = signatures.sign_webhook(
            key, event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}'
        )

        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    def test_takes_any_other_secret_as_it_is(self) -> None:
        assert signatures.webhook_key("sécret") == "sécret".encode()
        assert signatures.webhook_key("whsec_c2VjcmV0") == b"secret"

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_?", "whsec_c2VjcmV0c", "whsec_c2 Vj"])
    def test_refuses_a_secret_that_is_broken(self, secret: str) -> None:
        with pytest.raises(ValueError, match=r"^(nothing follows whsec_|what follows whsec_ is not base64)$"):
            signatures.webhook_key(secret)


class TestCredentials:
    """The value was calculated with `printf ... | openssl dgst -sha256 -hmac secret`."""

    SIGNED = ("PUT", "/v1/transfers/one?x=1", b'{"amount": "1.00"}')
    HEADERS = (
        ("payouts-timestamp", "1700000000"),
        ("payouts-signature", "v1=e1a050da5174775ed2132552b5c55a5af432587c0bb0f59c7d43660a5632cc96"),
    )

    def test_take_a_signature_that_another_tool_made(self) -> None:
        method, target, body = self.SIGNED

        signatures.Credentials(secret="secret").check(method, target, dict(self.HEADERS), body, now=NOW)

    @pytest.mark.parametrize(("now", "is_taken"), [(-301, False), (-300, True), (300, True), (301, False)])
    def test_take_it_for_five_minutes(self, now: int, is_taken: bool) -> None:  # noqa: FBT001 - a column of the table
        method, target, body = self.SIGNED
        refusals = []

        try:
            signatures.Credentials(secret="secret").check(method, target, dict(self.HEADERS), body, now=NOW + now)
        except Refusal as refusal:
            refusals.append((refusal.response.status.value, str(refusal)))

        assert refusals == ([] if is_taken else [(401, "Payouts-Timestamp is more than 300 s from the bank's clock.")])

    @pytest.mark.parametrize("signature", ["v1=" + "a" * 8000, ",".join(["v1=a"] * 2000), ""])
    def test_hash_a_body_once_whatever_the_signature(self, monkeypatch: pytest.MonkeyPatch, signature: str) -> None:
        method, target, body = self.SIGNED
        hashed: list[bytes] = []
        new = hmac.new

        def counted(key: bytes, message: bytes, algorithm: Any) -> Any:
            hashed.append(message)
            return new(key, message, algorithm)

        monkeypatch.setattr(hmac, "new", counted)

        with pytest.raises(Refusal):
            signatures.Credentials(secret="secret").check(
                method, target, {**dict(self.HEADERS), "payouts-signature": signature}, body, now=NOW
            )

        assert hashed == [b'1700000000.PUT./v1/transfers/one?x=1.{"amount": "1.00"}']

    def test_are_not_shown(self) -> None:
        assert repr(signatures.Credentials(token="hunter2", secret="hunter3")) == "Credentials()"

    def test_say_what_to_send(self) -> None:
        both = signatures.Credentials(token="t", secret="s")
        for credentials, words in (
            (both, "Send Authorization: Bearer TOKEN or Payouts-Timestamp and Payouts-Signature."),
            (signatures.Credentials(token="t"), "Send Authorization: Bearer TOKEN."),
            (signatures.Credentials(secret="s"), "Send Payouts-Timestamp and Payouts-Signature."),
        ):
            with pytest.raises(Refusal) as refused:
                credentials.check("GET", "/v1/transfers/one", {}, b"", now=NOW)
            assert str(refused.value) == words
