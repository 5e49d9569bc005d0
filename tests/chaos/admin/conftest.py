"""Who comes in, as in the other tests of the admin."""

from __future__ import annotations

from tests.integration.admin.conftest import member_of, superuser

__all__ = ["member_of", "superuser"]
