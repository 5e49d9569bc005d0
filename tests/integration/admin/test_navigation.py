from __future__ import annotations

from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.integration.admin import pages


class TestNavigation:
    def test_leads_to_every_list_that_there_is(self, superuser: Client) -> None:
        """A page that no link leads to is there for nobody."""
        models = [model._meta for model in admin.site._registry]
        lists = {reverse(f"admin:{options.app_label}_{options.model_name}_changelist") for options in models}
        of_exports, of_pauses = (superuser.get(url).content.decode() for url in (pages.EXPORTS, pages.PAUSES))

        # Its own path stands on a page in any case.
        hidden = {url for url in lists if f'href="{url}"' not in (of_pauses if url == pages.EXPORTS else of_exports)}

        assert hidden == set()

    def test_leads_key_managers_to_no_exports(self, key_manager: Client) -> None:
        assert f'href="{pages.EXPORTS}"' not in key_manager.get(reverse("admin:index")).content.decode()
