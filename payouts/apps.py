from django.apps import AppConfig


class PayoutsConfig(AppConfig):
    name = "payouts"

    def ready(self) -> None:
        # Both need the apps to be loaded.
        from payouts import checks, provider_settings  # noqa: F401, PLC0415 - importing the checks registers them

        provider_settings.register()
