"""The login of the admin. To check a password takes the processor for half a second, so strangers get few at once."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

#: In one process. People log in once a day.
AT_ONCE_MAX: Final = 2
#: Characters. A longer password is refused before it is hashed.
PASSWORD_LENGTH_MAX: Final = 1024
RETRY_AFTER_SECONDS: Final = 2

#: Held while a password is being checked.
places: Final = BoundedSemaphore(AT_ONCE_MAX)


class LoginsBusy(Exception):
    """As many passwords are being checked as may be at once."""


class LoginForm(AuthenticationForm):
    """Django's form, with limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        password = self.fields["password"]
        assert isinstance(password, forms.CharField)
        password.max_length = PASSWORD_LENGTH_MAX
        password.validators.append(_refuse_long)

    def clean(self) -> dict[str, Any]:
        """Check the password. Raises LoginsBusy."""
        if not places.acquire(blocking=False):
            raise LoginsBusy
        try:
            cleaned: dict[str, Any] = super().clean()
        finally:
            places.release()
        return cleaned


class MaximumLengthValidator:
    """Refuses a new password with which nobody could log in."""

    def validate(self, password: str, user: object = None) -> None:
        del user
        _refuse_long(password)

    def get_help_text(self) -> str:
        return f"Your password can have at most {PASSWORD_LENGTH_MAX} characters."


def _refuse_long(password: str) -> None:
    if len(password) > PASSWORD_LENGTH_MAX:
        raise ValidationError(f"A password has at most {PASSWORD_LENGTH_MAX} characters.", code="password_too_long")
