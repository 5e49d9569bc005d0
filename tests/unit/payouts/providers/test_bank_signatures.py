from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.providers import base
from payouts.providers.http_bank import signatures as bank_signatures

NOW = 1_700_000_000
KEY = b"0123456789abcdef0123456789abcdef"
OTHER_KEY = b"the secret before"
BODY = b'{"type":"transfer.updated"}'


def signed(
    *, key: bytes = KEY, event_id: str = "ev_1", timestamp: str = str(NOW), body: bytes = BODY, prefix: str = "v1,"
) -> dict[str, str]:
    digest = hmac.new(key, event_id.encode() + b"." + timestamp.encode() + b"." + body, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": prefix + base64.b64encode(digest).decode(),
    }


def verify(headers: dict[str, str], *, keys: tuple[bytes, ...] = (KEY,), body: bytes = BODY, now: float = NOW) -> str:
    return bank_signatures.verify_callback(keys, headers, body, now=now)


class TestRequest:
    def test_is_signed_with_its_time_and_place(self) -> None:
        headers = bank_signatures.sign_request("s", timestamp=NOW, method="PUT", target="/v1/transfers/r", body=b"{}")

        expected = hmac.new(b"s", b"1700000000.PUT./v1/transfers/r.{}", hashlib.sha256).hexdigest()
        assert headers == {"Payouts-Timestamp": "1700000000", "Payouts-Signature": f"v1={expected}"}

    def test_is_signed_without_a_body(self) -> None:
        headers = bank_signatures.sign_request("ä", timestamp=NOW, method="GET", target="/t/r?a=b", body=b"")

        expected = hmac.new("ä".encode(), b"1700000000.GET./t/r?a=b.", hashlib.sha256).hexdigest()
        assert headers["Payouts-Signature"] == f"v1={expected}"


class TestCallback:
    def test_is_known_by_its_id(self) -> None:
        assert verify(signed()) == "ev_1"

    # The example of the specification, https://www.standardwebhooks.com.
    def test_is_that_of_standard_webhooks(self) -> None:
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        key = bank_signatures.callback_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

        assert verify(headers, keys=(key,), body=b'{"test": 2432232314}', now=1614265330) == headers["webhook-id"]

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_may_be_a_little_early_or_late(self, seconds: int) -> None:
        assert verify(signed(), now=NOW + seconds) == "ev_1"

    @pytest.mark.parametrize("seconds", [-300.1, 300.1, 1e9])
    def test_is_refused_at_another_time(self, seconds: float) -> None:
        with pytest.raises(base.CallbackRefused, match="more than 300 s"):
            verify(signed(), now=NOW + seconds)

    def test_may_be_signed_with_any_of_the_secrets(self) -> None:
        for key in (KEY, OTHER_KEY):
            assert verify(signed(key=key), keys=(OTHER_KEY, KEY)) == "ev_1"

    def test_may_carry_several_signatures(self) -> None:
        fitting = signed()["webhook-signature"]
        for listed in (f"v1a,abc {fitting}", f"{fitting} v1,abc", f"v1,  {fitting} v2,{fitting[3:]}"):
            assert verify({**signed(), "webhook-signature": listed}) == "ev_1"

    @pytest.mark.parametrize("event_id", ["!", "~" * 255, "a.b"])
    def test_may_have_any_visible_id(self, event_id: str) -> None:
        assert verify(signed(event_id=event_id)) == event_id

    @pytest.mark.parametrize("event_id", ["", " ", "a b", "a\n", "é", "x" * 256])
    def test_is_refused_without_a_proper_id(self, event_id: str) -> None:
        with pytest.raises(base.CallbackRefused, match="webhook-id"):
            verify(signed(event_id=event_id))

    @pytest.mark.parametrize("timestamp", ["", "-1", "1.7e9", " 1700000000", "1700000000\n", "\u0661", "9" * 13])
    def test_is_refused_without_a_proper_time(self, timestamp: str) -> None:
        with pytest.raises(base.CallbackRefused, match="webhook-timestamp"):
            verify(signed(timestamp=timestamp))

    @pytest.mark.parametrize(
        "headers",
        [
            signed(key=OTHER_KEY),
            signed(body=BODY + b" "),
            signed(prefix="v2,"),
            signed(prefix="v1="),
            signed(prefix=""),
            {**signed(), "webhook-id": "ev_2"},
            {**signed(), "webhook-timestamp": str(NOW + 1)},
            {**signed(), "webhook-signature": ""},
            {**signed(), "webhook-signature": "v1,"},
            {**signed(), "webhook-signature": signed()["webhook-signature"][:-1]},
            {**signed(), "webhook-signature": signed()["webhook-signature"] + "="},
            {**signed(), "webhook-signature": "v1,é\ud800"},
            {name: value for name, value in signed().items() if name != "webhook-signature"},
        ],
    )
    def test_is_refused_without_a_signature_that_fits(self, headers: dict[str, str]) -> None:
        with pytest.raises(base.CallbackRefused, match="No signature"):
            verify(headers)

    def test_is_refused_without_a_secret(self) -> None:
        with pytest.raises(base.CallbackRefused):
            verify(signed(key=b""), keys=())

    @given(
        st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "x"]), st.text()),
        st.binary(),
    )
    def test_is_refused_whatever_comes(self, headers: dict[str, str], body: bytes) -> None:
        with pytest.raises(base.CallbackRefused):
            verify({**signed(), **headers}, body=b"-" + body)


class TestCost:
    """A callback comes from a stranger until its signature fits. What is counted is the hashing of its body."""

    BODY = b"x" * 256 * 1024

    @pytest.fixture
    def hashed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Length of what each HMAC was computed of."""
        lengths: list[int] = []
        digest = hmac.digest

        def counted(key: bytes, message: bytes, algorithm: Any) -> bytes:
            lengths.append(len(message))
            return digest(key, message, algorithm)

        monkeypatch.setattr(hmac, "digest", counted)
        return lengths

    @pytest.mark.parametrize("keys", [(KEY,), (OTHER_KEY, KEY)])
    @pytest.mark.parametrize("count", [1, 10])
    def test_is_one_hmac_for_each_key(self, hashed: list[int], keys: tuple[bytes, ...], count: int) -> None:
        headers = signed(body=self.BODY)
        fitting = headers["webhook-signature"]
        others = [f"v1,{number:044}" for number in range(count - 1)]

        assert (
            verify({**headers, "webhook-signature": " ".join([*others, fitting])}, keys=keys, body=self.BODY) == "ev_1"
        )

        assert hashed == [len(b"ev_1.1700000000.") + len(self.BODY)] * len(keys)

    @pytest.mark.parametrize(
        ("signatures", "reason"),
        [
            (" ".join(["v1,a"] * 11), "more than 10 signatures"),
            # Those of other schemes count as well.
            (" ".join(["v2,a"] * 10 + ["v1,a"]), "more than 10 signatures"),
            ("v1," + "a" * 1022, "more than 1024 characters"),
            (" " * 1025, "more than 1024 characters"),
            (" ".join(["v1,a"] * 10_000), "more than 1024 characters"),
            ("", "No signature"),
            ("v2,a", "No signature"),
        ],
    )
    def test_is_no_hmac_where_the_header_is_refused(self, hashed: list[int], signatures: str, reason: str) -> None:
        with pytest.raises(base.CallbackRefused, match=reason):
            verify({**signed(), "webhook-signature": signatures}, keys=(KEY, OTHER_KEY), body=self.BODY)

        assert hashed == []

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
    def test_is_no_hmac_where_another_header_is_refused(self, hashed: list[int], name: str) -> None:
        with pytest.raises(base.CallbackRefused, match=name):
            verify({**signed(), name: "9" * 10_000}, body=self.BODY)

        assert hashed == []


class TestSecret:
    @pytest.mark.parametrize(
        ("secret", "key"), [("whsec_AAEC", b"\x00\x01\x02"), ("plain", b"plain"), ("whsecäAAEC", "whsecäAAEC".encode())]
    )
    def test_is_base64_where_it_says_so(self, secret: str, key: bytes) -> None:
        assert bank_signatures.callback_key(secret) == key

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAE", "whsec_A-_=", "whsec_AAEC\n", "whsec_ä", "\ud800"])
    def test_is_refused_where_it_is_none(self, secret: str) -> None:
        with pytest.raises(ValueError, match=r"base64|empty|encode") as refusal:
            bank_signatures.callback_key(secret)

        assert len(secret) <= 6 or secret not in str(refusal.value)
