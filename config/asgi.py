"""For servers that speak ASGI. The platform is synchronous: gunicorn with config.wsgi is what we run and test."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()
