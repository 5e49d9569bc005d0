"""One rule for merchants' names: where they are made, renamed and looked up, and beside the version before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Concat

from accounts import errors, services
from accounts.models import Merchant, MerchantAPIKey
from payouts.models import Pause

DOTTED, DOTLESS = "Kirmizi", "K\u0131rm\u0131z\u0131"
NIKOS, NIKOS_IN_CAPITALS = "\u039d\u03af\u03ba\u03bf\u03c2", "\u039d\u038a\u039a\u039f\u03a3"
INSERT_OF_BEFORE = """
INSERT INTO accounts_merchant (id, name, is_active, require_idempotency_key, updated_at)
VALUES (gen_random_uuid(), %s, true, false, now()) RETURNING id
"""


def create_as_before(name: str) -> Merchant:
    """Create a merchant as the version before does, which knows nothing of keys."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT_OF_BEFORE, [name])
        return Merchant.objects.get(pk=cursor.fetchone()[0])


def rename_as_before(merchant: Merchant, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_merchant SET name = %s WHERE id = %s", [name, merchant.pk])


def keys() -> dict[str, Any]:
    return dict(Merchant.objects.values_list("name", "name_key"))


@pytest.mark.django_db
class TestUniqueness:
    def test_is_by_the_rule(self) -> None:
        services.create_merchant(NIKOS)

        with pytest.raises(errors.MerchantExists):
            services.create_merchant(NIKOS_IN_CAPITALS)

        assert keys() == {NIKOS: "\u03bd\u03af\u03ba\u03bf\u03c3"}

    @pytest.mark.parametrize("first", [DOTTED, DOTLESS], ids=ascii)
    def test_keeps_different_letters_apart(self, first: str) -> None:
        services.create_merchant(first)
        services.create_merchant(DOTLESS if first == DOTTED else DOTTED)

        assert [services.get_merchant(name).name for name in (DOTTED, DOTLESS)] == [DOTTED, DOTLESS]
        assert services.get_merchant(DOTLESS.replace("K", "k")).name == DOTLESS

    @pytest.mark.parametrize("name", ["ac\u200bme", "01936f3e7c4a7d2b9e1f3a5b6c7d8e9f", "urn:uuid:" + "0" * 32])
    def test_does_not_begin_with_a_trap(self, name: str) -> None:
        with pytest.raises(ValidationError):
            services.create_merchant(name)

        assert Merchant.objects.count() == 0

    def test_is_the_databases(self, acme: Merchant) -> None:
        """Every write of a name writes its key."""
        globex = Merchant.objects.create(name="globex")
        writes: list[Callable[[], object]] = [
            lambda: Merchant.objects.create(name="\uff21CME"),
            lambda: Merchant.objects.bulk_create([Merchant(name="\uff21CME")]),
            lambda: Merchant.objects.filter(pk=globex.pk).update(name="\uff21CME"),
            lambda: _rename(globex, "\uff21CME"),
        ]
        for write in writes:
            with pytest.raises(IntegrityError, match="merchant_name_key_unique"), transaction.atomic():
                write()

        assert keys() == {"acme": "acme", "globex": "globex"}

    def test_cannot_be_got_around_by_an_expression(self, acme: Merchant) -> None:
        acme.name = "ACME"

        with pytest.raises(TypeError):
            Merchant.objects.update(name=Concat("name", "name"))
        with pytest.raises(TypeError), transaction.atomic():
            Merchant.objects.bulk_update([acme], ["name"])

        assert keys() == {"acme": "acme"}

    def test_is_kept_when_a_merchant_is_renamed(self, acme: Merchant) -> None:
        _rename(acme, "ACM\u0045\u0301")

        # Composed, as all texts are stored.
        assert keys() == {"ACM\u00c9": "acm\u00e9"}
        assert services.create_merchant("acme").name == "acme"

    def test_counts_the_length_as_it_is_stored(self) -> None:
        assert len(services.create_merchant("e\u0301" * 100).name) == 100


def _rename(merchant: Merchant, name: str) -> None:
    merchant.name = name
    merchant.save(update_fields=["name"])


@pytest.mark.django_db
class TestLookUp:
    @pytest.mark.parametrize(
        "spelling",
        [str, lambda pk: str(pk).upper(), lambda pk: pk.hex, lambda pk: pk.urn, lambda pk: f"{{{pk}}}"],
        ids=["canonical", "upper case", "without hyphens", "URN", "braces"],
    )
    def test_by_id_takes_any_spelling(self, acme: Merchant, globex: Merchant, spelling: Any) -> None:
        assert services.get_merchant(spelling(acme.pk)) == acme

    @pytest.mark.parametrize("name", ["ACME", " acme ", "\uff41\uff43\uff4d\uff45", "ac\u00admE"], ids=ascii)
    def test_by_name_is_by_the_rule(self, acme: Merchant, globex: Merchant, name: str) -> None:
        assert services.get_merchant(name) == acme

    @pytest.mark.parametrize("name", ["", "\u200b", "acm_", "acm%", "\u0430cme", "a\x00", "\ud800"], ids=ascii)
    def test_guesses_nothing(self, acme: Merchant, name: str) -> None:
        create_as_before("\u2060")

        with pytest.raises(errors.MerchantNotFound):
            services.get_merchant(name)

    def test_refuses_what_more_than_one_fits(self, acme: Merchant, globex: Merchant) -> None:
        # An earlier version took such a name.
        rename_as_before(globex, str(acme.pk))

        with pytest.raises(errors.MerchantAmbiguous) as refused:
            services.get_merchant(str(acme.pk).upper())

        ids = ", ".join(sorted([str(acme.pk), str(globex.pk)]))
        assert str(refused.value) == f"More than one merchant fits '{str(acme.pk).upper()}'. Give the id: {ids}."


@pytest.mark.django_db
class TestBesideTheVersionBefore:
    def test_finds_what_it_creates(self) -> None:
        merchant = create_as_before(NIKOS)

        assert services.get_merchant(NIKOS_IN_CAPITALS) == merchant

    def test_finds_what_it_renames_by_the_new_name_alone(self, acme: Merchant) -> None:
        rename_as_before(acme, NIKOS)

        assert services.get_merchant(NIKOS_IN_CAPITALS) == acme
        with pytest.raises(errors.MerchantNotFound):
            services.get_merchant("acme")

    def test_creates_no_second_of_a_name(self, acme: Merchant) -> None:
        rename_as_before(acme, NIKOS)
        create_as_before("globex")

        with pytest.raises(errors.MerchantExists):
            services.create_merchant(NIKOS_IN_CAPITALS)

        # The name that nobody has any more can be given again.
        assert services.create_merchant("acme").name == "acme"
        assert keys() == {NIKOS: "\u03bd\u03af\u03ba\u03bf\u03c3", "globex": "globex", "acme": "acme"}

    def test_refuses_the_name_of_two(self) -> None:
        merchants = [services.create_merchant(NIKOS), create_as_before(NIKOS_IN_CAPITALS)]

        for name in (NIKOS, NIKOS_IN_CAPITALS):
            with pytest.raises(errors.MerchantAmbiguous) as refused:
                services.get_merchant(name)
            assert all(str(merchant.pk) in str(refused.value) for merchant in merchants)
        # Other merchants are created as ever.
        assert services.create_merchant("globex").name_key == "globex"

    def test_its_own_rule_still_holds(self, acme: Merchant) -> None:
        with pytest.raises(IntegrityError, match='"merchant_name_unique"'), transaction.atomic():
            create_as_before("ACME")


@pytest.mark.django_db
class TestCommands:
    def test_issue_a_key_of_the_merchant_that_is_named(self) -> None:
        services.create_merchant(DOTTED)
        dotless = services.create_merchant(DOTLESS)

        call_command("issue_api_key", DOTLESS, stdout=StringIO(), stderr=StringIO())

        assert MerchantAPIKey.objects.get().merchant == dotless

    def test_pause_and_resume_the_merchant_that_is_named(self) -> None:
        services.create_merchant(DOTTED)
        dotless = services.create_merchant(DOTLESS)

        call_command("pause_payouts", "--merchant", DOTLESS, "--reason", "x", stderr=StringIO())

        assert Pause.objects.get(ended_at=None).merchant == dotless
        with pytest.raises(CommandError, match=f"Not paused: merchant {DOTTED}"):
            call_command("resume_payouts", "--merchant", DOTTED, stderr=StringIO())
        call_command("resume_payouts", "--merchant", dotless.pk.hex, stderr=StringIO())
        assert Pause.objects.filter(ended_at=None).count() == 0

    @pytest.mark.parametrize(
        "command",
        [
            ("issue_api_key", NIKOS),
            ("pause_payouts", "--merchant", NIKOS, "--reason", "x"),
            ("resume_payouts", "--merchant", NIKOS),
            ("create_merchant", NIKOS, "--if-missing"),
        ],
        ids=lambda command: command[0],
    )
    def test_never_guess(self, command: tuple[str, ...]) -> None:
        services.create_merchant(NIKOS)
        create_as_before(NIKOS_IN_CAPITALS)

        with pytest.raises(CommandError, match=r"More than one merchant fits .* Give the id"):
            call_command(*command, stdout=StringIO(), stderr=StringIO())

        assert MerchantAPIKey.objects.count() == 0
        assert Pause.objects.count() == 0

    def test_create_one_of_a_name_in_capitals_once(self) -> None:
        merchant = services.create_merchant(NIKOS)
        printed = StringIO()

        call_command("create_merchant", NIKOS_IN_CAPITALS, "--if-missing", stdout=printed, stderr=StringIO())

        assert printed.getvalue() == f"{merchant.pk}\n"


def migrate(to: str) -> None:
    call_command("migrate", "accounts", to, verbosity=0)


@pytest.fixture
def before(transactional_db: None) -> Iterator[None]:
    """The schema of the version before."""
    migrate("0002")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM accounts_merchant")
        migrate("0003")


def insert_as_before(*merchants: str) -> list[str]:
    with connection.cursor() as cursor:
        ids = []
        for name in merchants:
            cursor.execute(INSERT_OF_BEFORE, [name])
            ids.append(str(cursor.fetchone()[0]))
        return ids


@pytest.mark.usefixtures("before")
class TestUpgrade:
    def test_gives_each_merchant_its_key(self) -> None:
        insert_as_before("Acme", DOTTED, DOTLESS, NIKOS, "M u\u0308 ller")

        migrate("0003")

        assert keys() == {
            "Acme": "acme",
            DOTTED: "kirmizi",
            DOTLESS: "k\u0131rm\u0131z\u0131",
            NIKOS: "\u03bd\u03af\u03ba\u03bf\u03c3",
            "M u\u0308 ller": "m \u00fc ller",
        }
        assert Merchant.objects.without_key().count() == 0

    def test_stops_for_names_that_are_one(self) -> None:
        nikos, capitals, _, spaced, single = insert_as_before(NIKOS, NIKOS_IN_CAPITALS, "x", "a  b", "a b")

        with pytest.raises(CommandError) as stopped:
            migrate("0003")

        first = [f"{NIKOS!a} ({nikos})", f"{NIKOS_IN_CAPITALS!a} ({capitals})"]
        second = [f"'a  b' ({spaced})", f"'a b' ({single})"]
        said = str(stopped.value)
        assert said.startswith("These merchants have one name in different spellings: ")
        assert said.endswith(
            ". Nothing was changed. Rename all but one of each, in the admin of the version that is running, and "
            "migrate again."
        )
        assert all(one in said for one in (*first, *second))
        assert "'x'" not in said
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM information_schema.columns WHERE column_name = 'name_key'")
            assert cursor.fetchone() == (0,)

    def test_goes_on_once_they_are_renamed(self) -> None:
        insert_as_before(NIKOS, NIKOS_IN_CAPITALS)
        with pytest.raises(CommandError):
            migrate("0003")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_merchant SET name = 'Nikos 2' WHERE name = %s", [NIKOS_IN_CAPITALS])

        migrate("0003")

        assert keys() == {NIKOS: "\u03bd\u03af\u03ba\u03bf\u03c3", "Nikos 2": "nikos 2"}
