"""The login of the admin bounds the work that a stranger can ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Barrier

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.contrib.auth.models import User
from django.test import Client

from backoffice import hashing, logins

URL = "/admin/login/?next=/admin/"
PASSWORD = "a long passphrase of mine"


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def log_in(client: Client, password: str = PASSWORD) -> tuple[int, str]:
    response = client.post(URL, {"username": "ada", "password": password})
    return response.status_code, response.content.decode()


def test_lets_in(client: Client, user: User) -> None:
    assert log_in(client)[0] == 302
    assert log_in(Client(), "wrong")[0] == 200


def test_refuses_a_long_password_unread(client: Client, user: User) -> None:
    long = "x" * (logins.PASSWORD_LENGTH_MAX + 1)
    User.objects.update(password=make_password(long))

    status, page = log_in(client, long)

    assert (status, "A password has at most 1024 characters." in page) == (200, True)
    User.objects.update(password=make_password(long[1:]))
    assert log_in(client, long[1:])[0] == 302


class TestAtOnce:
    @pytest.fixture
    def checking(self) -> Iterator[None]:
        """As many passwords are being checked as may be."""
        for _ in range(logins.AT_ONCE_MAX):
            logins.places.acquire()
        yield
        for _ in range(logins.AT_ONCE_MAX):
            logins.places.release()

    def test_another_waits(self, client: Client, user: User, checking: None) -> None:
        response = client.post(URL, {"username": "ada", "password": PASSWORD})

        assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
        assert response.headers["Content-Type"].startswith("text/html")
        assert '<a href="/admin/login/?next=/admin/">' in response.content.decode()
        assert "sessionid" not in client.cookies

    def test_a_page_does_not_wait(self, client: Client, checking: None) -> None:
        assert client.get(URL).status_code == 200

    def test_a_wrong_password_gives_its_place_back(self, client: Client, user: User) -> None:
        for _ in range(logins.AT_ONCE_MAX + 1):
            assert log_in(client, "wrong")[0] == 200

        assert log_in(client)[0] == 302


class TestHashing:
    def test_knows_the_hashes_of_django(self) -> None:
        ours = hashing.PatientPBKDF2PasswordHasher()
        known = PBKDF2PasswordHasher().encode("secret", "salt", 1000)

        assert ours.encode("secret", "salt", 1000) == known
        assert (ours.verify("secret", known), ours.verify("Secret", known)) == (True, False)

    def test_leaves_the_processor_to_others(self) -> None:
        barrier = Barrier(2)
        pool = hashing.pool()

        found = [pool.submit(lambda: (barrier.wait(10), os.getpriority(os.PRIO_PROCESS, 0))[1]) for _ in range(2)]

        assert [one.result() for one in found] == [19, 19]
        assert os.getpriority(os.PRIO_PROCESS, 0) < 19
