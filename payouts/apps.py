from django.apps import AppConfig


class PayoutsConfig(AppConfig):
    name = "payouts"

    def ready(self) -> None:
        # Both need the apps to be loaded.
        from payouts import bank_settings, checks  # noqa: F401, PLC0415 - importing the checks registers them

        bank_settings.register()
