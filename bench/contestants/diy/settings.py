"""What people put together: djangorestframework-api-key, drf-idempotency in the database, and Celery after the commit.

Each package is set up as its own documentation says.
"""

import os

from bench.contestants.settings import *  # noqa: F403 - Django reads all settings from one module.
from bench.contestants.settings import INSTALLED_APPS as _APPS
from bench.contestants.settings import MIDDLEWARE as _MIDDLEWARE
from bench.contestants.settings import REST_FRAMEWORK as _REST_FRAMEWORK

INSTALLED_APPS = [*_APPS, "rest_framework_api_key", "drf_idempotency", "bench.contestants.diy"]
MIDDLEWARE = [*_MIDDLEWARE, "drf_idempotency.middleware.IdempotencyMiddleware"]
REST_FRAMEWORK = {**_REST_FRAMEWORK, "DEFAULT_PERMISSION_CLASSES": ["rest_framework_api_key.permissions.HasAPIKey"]}
IDEMPOTENCY = {"BACKEND": "drf_idempotency.backends.database.DatabaseBackend"}
ROOT_URLCONF = "bench.contestants.diy.urls"
WSGI_APPLICATION = "bench.contestants.wsgi.application"
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
