"""Bare REST framework: a ModelViewSet. No API key, no idempotency, nothing is enqueued."""

from bench.contestants.settings import *  # noqa: F403 - Django reads all settings from one module.
from bench.contestants.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "bench.contestants.bare"]
ROOT_URLCONF = "bench.contestants.bare.urls"
WSGI_APPLICATION = "bench.contestants.wsgi.application"
