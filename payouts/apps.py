from django.apps import AppConfig


class PayoutsConfig(AppConfig):
    name = "payouts"

    def ready(self) -> None:
        from payouts import checks  # noqa: F401, PLC0415 - registers the checks, which need the apps to be loaded
