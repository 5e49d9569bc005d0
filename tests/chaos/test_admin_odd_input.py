"""Every address of the admin with input that nobody means: no answer is ever a defect of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Merchant
from payouts.models import Payout
from tests.integration.admin import pages

pytestmark = pytest.mark.django_db

LARGE: Final = "9" * 30
#: As they stand in an address: percent-encoded.
VALUES: Final = [
    *("%00", "a%00b", "%FF", "%ED%A0%80", "%F0%9F%99%82", "%E2%80%AE", "%EF%BF%BF"),
    *(
        LARGE,
        f"-{LARGE}",
        "9" * 5000,
        "1e400",
        "-1",
        "0",
        "NaN",
        "Infinity",
        "%D9%A1",
        "2147483648",
        "9223372036854775808",
    ),
    *(f"{LARGE}-01-01", "0000-00-00", "10000-01-01", "0001-01-01", "9999-12-31T23:59:59Z", "2026-13-45"),
    *("", "%27", "%22", "%5C", "%25", "%5B%5D", "%7B%7D", "a,b,c", ",,", "x" * 3000, "%0D%0AX:%20y", "..%2F..", "None"),
    *("00000000-0000-0000-0000-000000000000", "true", "_3A_", "%09"),
]
LOOKUPS: Final = [
    *("", "__exact", "__gte", "__lt", "__year", "__year__gte", "__month", "__date", "__week", "__in", "__isnull"),
    *("__range", "__icontains", "__regex", "__contains", "__id__exact", "__pk", "__nonsense", "__len", "__0"),
    *("_from", "_to", "_from_0", "_to_1"),
]
#: Parameters of Django's and of the theme's own.
PARAMETERS: Final = [
    "o",
    "p",
    "q",
    "all",
    "e",
    "_popup",
    "_to_field",
    "_changelist_filters",
    "_facets",
    "pk",
    "__",
    "a.b",
]
#: So many fields with a lookup are tried on each list. They take turns, as the values do.
FIELDS_MAX: Final = 20


def patterns(resolver: Any, prefix: str = "/admin/") -> Iterator[str]:
    """Return the route of each page of the admin, with the names of its parts in angle brackets."""
    for pattern in resolver.url_patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


ROUTES: Final = sorted(set(patterns(next(one for one in get_resolver().url_patterns if str(one.pattern) == "admin/"))))
OF_AN_OBJECT: Final = [route for route in ROUTES if "<path:object_id>" in route and "<int" not in route]
WITHOUT_PARTS: Final = [route for route in ROUTES if "<" not in route and "^" not in route and "(" not in route]
LISTS: Final = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry]


def statuses_of(client: Client, addresses: Iterator[str], *, method: str = "GET", form: Any = None) -> dict[str, int]:
    """Ask for each of the addresses and return the statuses that are defects."""
    client.raise_request_exception = False
    broken = {}
    for address in addresses:
        with transaction.atomic():
            savepoint = transaction.savepoint()
            response = client.generic(method, address) if form is None else client.post(address, form)
            # What a failed statement leaves behind must not be taken for the fault of the next one.
            transaction.savepoint_rollback(savepoint)
        if response.status_code >= 500:
            broken[f"{address[:150]} {str(form)[:300]}"] = response.status_code
    return broken


def odd_lists(model: type[Model]) -> Iterator[str]:
    """Return addresses of the model's list with an odd value for each parameter, and for some fields with a lookup."""
    options = model._meta
    fields = [f"{field.name}{lookup}" for field in options.fields for lookup in LOOKUPS]
    for index, name in enumerate([*PARAMETERS, *fields[:: len(fields) // FIELDS_MAX + 1]]):
        value = VALUES[(7 * index + len(options.model_name or "")) % len(VALUES)]
        yield f"/admin/{options.app_label}/{options.model_name}/?{name}={value}"


def shares(everybody: dict[str, Client]) -> Iterator[tuple[Client, list[str]]]:
    """Return everybody with a share of the values, so that each value is sent by somebody, and NUL by all."""
    for number, client in enumerate(everybody.values()):
        yield client, ["%00", LARGE, *VALUES[number :: len(everybody)]]


@pytest.fixture
def everybody(
    superuser: Client, operator: Client, key_manager: Client, auditor: Client, client: Client
) -> dict[str, Client]:
    return {"root": superuser, "operator": operator, "key manager": key_manager, "auditor": auditor, "nobody": client}


@pytest.fixture(autouse=True)
def _rows(make_processed_payout: Callable[..., Payout]) -> None:
    """A payout with all that belongs to it: an empty table would compare with nothing."""
    make_processed_payout(idempotency_key="k-1")


class TestWalk:
    def test_finds_the_pages(self) -> None:
        assert {"/admin/login/", "/admin/autocomplete/", pages.PAYOUTS, f"{pages.PAYOUTS}summary/"} <= set(
            WITHOUT_PARTS
        )
        assert f"{pages.API_KEYS}<path:object_id>/change/" in OF_AN_OBJECT
        assert len(OF_AN_OBJECT) > 3 * len(LISTS)


class TestLists:
    @pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.model_name)
    def test_take_any_parameter(self, superuser: Client, model: type[Model]) -> None:
        assert statuses_of(superuser, odd_lists(model)) == {}


class TestObjects:
    @pytest.mark.parametrize("route", OF_AN_OBJECT)
    def test_take_any_id(self, superuser: Client, route: str) -> None:
        # An eighth of the values for each page, and each of them for an eighth of the pages.
        values = [value for value in VALUES[len(route) % 8 :: 8] if value]
        addresses = (route.replace("<path:object_id>", value) for value in ["%00", LARGE, *values])

        assert statuses_of(superuser, addresses) == {}

    def test_take_any_id_from_anybody(self, everybody: dict[str, Client]) -> None:
        for client in everybody.values():
            addresses = (
                route.replace("<path:object_id>", value)
                for index, route in enumerate(OF_AN_OBJECT)
                for value in ("%00", VALUES[index % len(VALUES)] or "x")
            )

            assert statuses_of(client, addresses) == {}

    def test_take_any_parameter(self, superuser: Client) -> None:
        payout, user = Payout.objects.get(), User.objects.get(username="root")
        found = [f"{pages.page_of(one, page)}?" for one in (payout, user) for page in ("change", "history")]
        found += [f"{url}add/?" for url in LISTS]
        names = [*PARAMETERS, "username", "merchant", "name", "is_active", "groups", "scope"]
        addresses = (
            f"{page}{name}={VALUES[(5 * index + 3 * number) % len(VALUES)]}"
            for index, page in enumerate(found)
            for number, name in enumerate(names[index % 3 :: 3])
        )

        assert statuses_of(superuser, addresses) == {}


class TestOtherPages:
    @pytest.mark.parametrize("name", ["term", "app_label", "model_name", "field_name", "page", "q"])
    def test_suggestions_take_any_parameter(self, everybody: dict[str, Client], name: str) -> None:
        asked = {"term": "a", "app_label": "payouts", "model_name": "payout", "field_name": "merchant", "page": "1"}
        for client, values in shares(everybody):
            addresses = (
                "/admin/autocomplete/?" + "&".join(f"{key}={text}" for key, text in {**asked, name: value}.items())
                for value in values
            )

            assert statuses_of(client, addresses) == {}

    @pytest.mark.parametrize("route", WITHOUT_PARTS)
    def test_take_any_parameter(self, superuser: Client, route: str) -> None:
        names = [
            "next",
            "q",
            "s",
            "search",
            "page",
            "merchant",
            "mode",
            "group_by",
            "timezone",
            "status",
            "metadata[a]",
        ]
        names += ["created_after", "created_before", "amount_min", "currency", "reference", "_to_field"]
        addresses = (
            f"{route}?{name}={VALUES[(5 * index + len(route)) % len(VALUES)]}" for index, name in enumerate(names)
        )

        assert statuses_of(superuser, addresses) == {}

    def test_summary_takes_any_parameter(self, superuser: Client, acme: Merchant) -> None:
        names = [
            "merchant",
            "mode",
            "group_by",
            "timezone",
            "status",
            "created_after",
            "amount_min",
            "search",
            "metadata[a]",
        ]
        addresses = (
            f"{pages.PAYOUTS}summary/?merchant={acme.pk}&mode=test&{name}={value}"
            for index, name in enumerate(names)
            for value in VALUES[index % 6 :: 6]
        )

        assert statuses_of(superuser, addresses) == {}

    @pytest.mark.parametrize("client_name", ["root", "nobody"])
    def test_login_leads_nowhere_else(self, everybody: dict[str, Client], client_name: str) -> None:
        addresses = [f"/admin/login/?next={value}" for value in [*VALUES, "//evil.example", "https:%5C%5Cevil.example"]]

        assert statuses_of(everybody[client_name], iter(addresses)) == {}
        for address in addresses:
            assert "evil" not in everybody[client_name].get(address).headers.get("Location", "")

    def test_addresses_of_nothing(self, everybody: dict[str, Client]) -> None:
        for client, values in shares(everybody):
            addresses = (
                template.format(value)
                for template in ("/admin/{}", "/admin/{}/", "/admin/payouts/{}/", "/admin/r/{}/1/", "/admin/r/1/{}/")
                for value in values
            )

            assert statuses_of(client, addresses) == {}


class TestForms:
    VALUES: Final = [
        "\x00",
        "\ud83d\ude42".encode("utf-16", "surrogatepass").decode("utf-16"),
        LARGE,
        "-1",
        "x" * 3000,
        "",
    ]

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:5]))
    def test_to_add_take_anything(self, superuser: Client, value: str) -> None:
        names = ["name", "merchant", "mode", "scopes", "expiry_date_0", "expiry_date_1", "allowed_networks", "username"]
        names += ["password1", "password2", "permissions", "scope", "provider", "reason", "usable_password"]

        for form in (dict.fromkeys(names, value), {"scope": "merchant", "merchant": value, "reason": "a"}):
            assert statuses_of(superuser, (f"{url}add/" for url in LISTS), form=form) == {}

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:5]))
    def test_to_change_take_anything(self, superuser: Client, acme: Merchant, value: str) -> None:
        group = Group.objects.get(name="Auditors")
        user, payout = User.objects.get(username="root"), Payout.objects.get()
        addresses = [pages.page_of(one) for one in (acme, acme.api_keys.all()[0], user, group)]
        addresses += [pages.page_of(payout, act) for act in ("retry", "mark_paid", "ask", "acknowledge")]
        addresses += [f"/admin/auth/user/{user.pk}/password/"]
        names = [
            "name",
            "username",
            "email",
            "groups",
            "user_permissions",
            "last_login_0",
            "date_joined_0",
            "date_joined_1",
        ]
        form = dict.fromkeys([*names, "reason", "expected_version", "password1", "password2", "permissions"], value)

        assert statuses_of(superuser, iter(addresses), form=form) == {}

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:5]))
    def test_of_a_list_take_anything(self, superuser: Client, value: str) -> None:
        for action in (value, "delete_selected"):
            form = {"action": action, "_selected_action": value, "index": value, "select_across": value}
            assert statuses_of(superuser, iter(LISTS), form=form) == {}

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:5]))
    def test_to_come_in_take_anything(self, client: Client, value: str) -> None:
        form = {"username": value, "password": value, "next": value}

        assert statuses_of(client, iter(["/admin/login/", f"/admin/login/?next={quote(value)}"]), form=form) == {}
