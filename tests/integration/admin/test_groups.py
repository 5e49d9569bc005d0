from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client

from accounts import services
from accounts.models import Merchant, MerchantAPIKey
from payouts.models import Payout
from tests.integration.admin import pages

EXPECTED = {
    "Operators": {
        "payouts.view_payout",
        "payouts.view_payouttransition",
        "payouts.view_payoutattempt",
        "payouts.view_providercallback",
        "payouts.view_providercircuit",
        "payouts.view_pause",
        "payouts.view_export",
        "payouts.operate_payout",
        "idempotency.view_idempotencyrecord",
        "accounts.view_merchant",
        "accounts.change_merchant",
        "accounts.view_merchantapikey",
    },
    "Key managers": {
        "accounts.view_merchant",
        "accounts.view_merchantapikey",
        "accounts.add_merchantapikey",
        "accounts.change_merchantapikey",
    },
    "Auditors": {
        "payouts.view_payout",
        "payouts.view_payouttransition",
        "payouts.view_payoutattempt",
        "payouts.view_providercallback",
        "payouts.view_providercircuit",
        "payouts.view_pause",
        "payouts.view_export",
        "idempotency.view_idempotencyrecord",
        "accounts.view_merchant",
        "accounts.view_merchantapikey",
        "auth.view_user",
        "auth.view_group",
    },
}


def permissions_of(group: str) -> set[str]:
    found = Group.objects.get(name=group).permissions.values_list("content_type__app_label", "codename")
    return {f"{app_label}.{codename}" for app_label, codename in found}


class TestGroupsMigration:
    @pytest.mark.parametrize("group", EXPECTED)
    def test_gives_each_group_its_permissions(self, db: None, group: str) -> None:
        assert permissions_of(group) == EXPECTED[group]

    def test_completes_a_group_that_is_there_already(self, db: None) -> None:
        made = importlib.import_module("payouts.migrations.0003_groups")
        extended = importlib.import_module("payouts.migrations.0007_operators")
        exports = importlib.import_module("payouts.migrations.0010_exports")
        group = Group.objects.get(name="Auditors")
        kept = group.permissions.get(codename="view_payout")
        group.permissions.set([kept])

        with connection.schema_editor() as schema_editor:
            made.create_groups(apps, schema_editor)
            extended.extend_groups(apps, schema_editor)
            exports.extend_groups(apps, schema_editor)
        migration_again = Group.objects.filter(name__in=EXPECTED).count()

        assert permissions_of("Auditors") == EXPECTED["Auditors"]
        assert migration_again == 3


# (address, Operators, Key managers, Auditors): the status of a GET.
GETS = [
    ("/admin/", 200, 200, 200),
    (pages.PAYOUTS, 200, 403, 200),
    (pages.PAUSES, 200, 403, 200),
    (f"{pages.PAUSES}add/", 200, 403, 403),
    (pages.CALLBACKS, 200, 403, 200),
    (f"{pages.CALLBACKS}add/", 403, 403, 403),
    (pages.CIRCUITS, 200, 403, 200),
    (f"{pages.CIRCUITS}add/", 403, 403, 403),
    (pages.EXPORTS, 200, 403, 200),
    (f"{pages.EXPORTS}add/", 403, 403, 403),
    (pages.RECORDS, 200, 403, 200),
    (pages.MERCHANTS, 200, 200, 200),
    (f"{pages.MERCHANTS}add/", 403, 403, 403),
    (pages.API_KEYS, 200, 200, 200),
    (f"{pages.API_KEYS}add/", 403, 200, 403),
    ("/admin/auth/user/", 403, 403, 200),
    ("/admin/auth/group/", 403, 403, 200),
    ("/admin/auth/user/add/", 403, 403, 403),
    ("/admin/auth/group/add/", 403, 403, 403),
]


class TestPermissions:
    @pytest.mark.parametrize(("address", "operators", "key_managers", "auditors"), GETS)
    def test_opens_what_the_group_may_see(
        self, operator: Client, key_manager: Client, auditor: Client, address: str, operators: int, key_managers: int,
        auditors: int,
    ) -> None:  # fmt: skip
        answers = [client.get(address).status_code for client in (operator, key_manager, auditor)]

        assert answers == [operators, key_managers, auditors]

    def test_sends_a_stranger_to_the_login(self, db: None) -> None:
        response = Client().get(pages.API_KEYS)

        assert response.status_code == 302
        assert response["Location"] == f"/admin/login/?next={pages.API_KEYS}"

    @pytest.mark.parametrize("group", ["Operators", "Auditors"])
    @pytest.mark.parametrize("action", ["rotate", "revoke"])
    def test_hides_and_refuses_actions_on_api_keys(
        self, acme_key: MerchantAPIKey, member_of: Callable[[str], Client], group: str, action: str
    ) -> None:
        client = member_of(group)
        address = pages.page_of(acme_key, action)

        page = client.get(pages.page_of(acme_key))
        listed = client.get(pages.API_KEYS)
        asked = client.get(address)
        done = client.post(address, {"overlap_hours": "0"})

        assert page.status_code == listed.status_code == 200
        assert address not in page.content.decode() + listed.content.decode()
        assert (asked.status_code, done.status_code) == (403, 403)
        acme_key.refresh_from_db()
        assert (acme_key.revoked, acme_key.expiry_date, MerchantAPIKey.objects.count()) == (False, None, 1)

    @pytest.mark.parametrize("group", ["Operators", "Auditors"])
    def test_refuses_to_issue(self, acme: Merchant, member_of: Callable[[str], Client], group: str) -> None:
        response = member_of(group).post(f"{pages.API_KEYS}add/", pages.issue_form(acme))

        assert response.status_code == 403
        assert not MerchantAPIKey.objects.exists()

    @pytest.mark.parametrize("group", ["Key managers", "Auditors"])
    def test_refuses_to_change_a_merchant(self, acme: Merchant, member_of: Callable[[str], Client], group: str) -> None:
        response = member_of(group).post(pages.page_of(acme), {"name": "evil"})

        assert response.status_code == 403
        acme.refresh_from_db()
        assert (acme.name, acme.is_active) == ("acme", True)

    def test_shows_an_auditor_no_password_hash(self, auditor: Client, superuser: Client) -> None:
        del superuser
        users = auditor.get("/admin/auth/user/").context["cl"].result_list
        user = next(user for user in users if user.username == "root")
        user.set_password("correct horse battery staple")
        user.save()

        page = auditor.get(f"/admin/auth/user/{user.pk}/change/")
        probe = auditor.get("/admin/auth/user/?password__startswith=pbkdf2")

        assert page.status_code == 200
        assert user.password.rpartition("$")[2] not in page.content.decode()
        assert probe.status_code == 400


@pytest.fixture
def one_of_each(acme_key: MerchantAPIKey, make_payout: Callable[..., Payout], superuser: Client) -> list[Any]:
    del superuser
    user = Group.objects.get(name="Auditors").user_set.model.objects.get(username="root")
    return [acme_key.merchant, acme_key, make_payout(), user, Group.objects.get(name="Auditors")]


class TestNothingIsDeleted:
    def test_refuses_even_a_superuser(self, superuser: Client, one_of_each: list[Any]) -> None:
        for instance in one_of_each:
            address = pages.page_of(instance, "delete")

            assert superuser.get(address).status_code == 403
            assert superuser.post(address, {"post": "yes"}).status_code == 403
            assert type(instance).objects.filter(pk=instance.pk).exists()

    def test_offers_no_delete_in_any_list(self, superuser: Client, one_of_each: list[Any]) -> None:
        for instance in one_of_each:
            changelist = pages.page_of(instance).replace(f"{instance.pk}/change/", "")

            response = superuser.get(changelist)
            tried = superuser.post(
                changelist, {"action": "delete_selected", "_selected_action": [str(instance.pk)], "post": "yes"}
            )

            assert "delete_selected" not in response.content.decode()
            assert tried.status_code in {200, 302, 403}
            assert type(instance).objects.filter(pk=instance.pk).exists()

    def test_has_no_page_for_the_librarys_own_keys(self, superuser: Client) -> None:
        assert superuser.get("/admin/rest_framework_api_key/apikey/").status_code == 404


class TestMerchants:
    def test_creates_one(self, superuser: Client) -> None:
        response = superuser.post(f"{pages.MERCHANTS}add/", {"name": " hooli ", "require_idempotency_key": "on"})

        assert response.status_code == 302
        merchant = Merchant.objects.get()
        assert (merchant.name, merchant.is_active, merchant.require_idempotency_key) == ("hooli", True, True)

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("ACME", "There is a merchant of that name already."),
            ("\uff41cme", "There is a merchant of that name already."),
            ("01936f3e7c4a7d2b9e1f3a5b6c7d8e9f", "This looks like an id (a UUID). Take a name that cannot be one."),
            ("ac\u200bme", "U+200B cannot be seen: leave it out of the name."),
            ("", "This field is required."),
            (
                "a\nb",
                "U+000A is not allowed: write one line, without control characters or marks of direction.",
            ),
            ("\u200b\u2800", "Nothing in this text can be seen. Give at least one visible character."),
            ("x" * 101, "Ensure this value has at most 100 characters (it has 101)."),
        ],
    )
    def test_refuses_a_bad_name(self, superuser: Client, acme: Merchant, name: str, error: str) -> None:
        response = superuser.post(f"{pages.MERCHANTS}add/", {"name": name})

        assert response.status_code == 200
        assert [text for texts in pages.form_errors(response).values() for text in texts] == [error]
        assert list(Merchant.objects.all()) == [acme]

    @pytest.mark.parametrize("term", ["\uff21CM", " acm\u0065\u0301", "cm\u00c9"], ids=ascii)
    def test_are_found_by_any_spelling_of_a_part_of_their_name(
        self, superuser: Client, globex: Merchant, term: str
    ) -> None:
        merchant = Merchant.objects.create(name="Acm\u00e9")

        found = superuser.get(pages.MERCHANTS, {"q": term}).context["cl"].queryset

        assert list(found) == [merchant]

    def test_take_no_name_that_is_one_with_anothers(self, superuser: Client, acme: Merchant, globex: Merchant) -> None:
        response = superuser.post(pages.page_of(globex), {"name": "\uff41CME", "is_active": "on"})

        assert pages.form_errors(response) == {"name": ["There is a merchant of that name already."]}
        globex.refresh_from_db()
        assert globex.name == "globex"

    def test_can_be_renamed_to_another_spelling_of_their_own(self, superuser: Client, acme: Merchant) -> None:
        response = superuser.post(pages.page_of(acme), {"name": "ACME", "is_active": "on"})

        assert response.status_code == 302
        acme.refresh_from_db()
        assert (acme.name, acme.name_key, acme.keyed_name) == ("ACME", "acme", "ACME")

    def test_with_a_name_of_an_earlier_version_can_be_suspended(self, superuser: Client, acme: Merchant) -> None:
        Merchant.objects.filter(pk=acme.pk).update(name="ac\u202eme")

        response = superuser.post(pages.page_of(acme), {"name": "ac\u202eme"})

        assert response.status_code == 302
        acme.refresh_from_db()
        assert (acme.name, acme.is_active) == ("ac\u202eme", False)

    def test_is_suspended_and_renamed_by_an_operator(self, operator: Client, acme: Merchant) -> None:
        response = operator.post(pages.page_of(acme), {"name": "acme 2"})

        assert response.status_code == 302
        acme.refresh_from_db()
        assert (acme.name, acme.is_active, acme.require_idempotency_key) == ("acme 2", False, False)

    def test_answers_who_was_slower_with_a_message(
        self, superuser: Client, acme: Merchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The form's own check found the name free; the database did not.
        monkeypatch.setattr(Merchant, "validate_constraints", lambda *_, **__: None)

        response = superuser.post(f"{pages.MERCHANTS}add/", {"name": "Acme"}, follow=True)

        assert "There is a merchant named &#x27;Acme&#x27; already." in response.content.decode()
        assert list(Merchant.objects.all()) == [acme]

    def test_keeps_a_suspension_that_happened_while_another_renamed(
        self, operator: Client, acme: Merchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = Merchant.validate_constraints

        def suspend_meanwhile(merchant: Merchant, **arguments: Any) -> None:
            Merchant.objects.filter(pk=acme.pk).update(is_active=False)
            find(merchant, **arguments)

        monkeypatch.setattr(Merchant, "validate_constraints", suspend_meanwhile)
        operator.post(pages.page_of(acme), {"name": "acme 2", "is_active": "on"})

        acme.refresh_from_db()
        assert (acme.name, acme.is_active) == ("acme 2", False)


class TestSuspendedMerchant:
    def test_is_refused_at_once(self, operator: Client, acme: Merchant) -> None:
        _, secret = services.issue_api_key(acme, name="test")
        headers = {"Authorization": f"Api-Key {secret}"}

        operator.post(pages.page_of(acme), {"name": "acme"})

        assert Client().get("/api/me/", headers=headers).json()["code"] == "merchant_suspended"
