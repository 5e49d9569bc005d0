"""The only settings module. Every value that differs between installations comes from the environment.

`.env.example` lists each variable with its meaning. A missing or malformed one stops the process with a sentence
that names it (config/env.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backoffice.theme import FORMAT_MODULE_PATH, UNFOLD  # noqa: F401 - settings of Django and django-unfold
from config import env

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env.boolean("DJANGO_DEBUG", default=False)
SECRET_KEY = env.text("DJANGO_SECRET_KEY", "insecure-key-of-a-debug-installation-only" if DEBUG else "")
if not SECRET_KEY:
    raise env.SettingError(
        "DJANGO_SECRET_KEY",
        "is not set: give it 50 or more random characters, for example from "
        "`python3 -c 'import secrets; print(secrets.token_urlsafe(50))'`.",
    )
# Previous keys: they still verify signatures, but sign nothing.
SECRET_KEY_FALLBACKS = env.items("DJANGO_SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.items("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if DEBUG else "")
if not ALLOWED_HOSTS:
    raise env.SettingError(
        "DJANGO_ALLOWED_HOSTS", "is not set: name the hosts that clients call, for example payouts.example.com."
    )

INSTALLED_APPS = [
    # backoffice replaces templates of unfold, and unfold those of the admin.
    "backoffice",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "rest_framework_api_key",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "idempotency",
    "payouts",
]

# Only the admin uses the last five: an API request has no session, messages or CSRF cookie.
MIDDLEWARE = [
    "config.middleware.RequestIdMiddleware",
    "config.middleware.HeadMiddleware",
    "config.https.HTTPSMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.NotModifiedMiddleware",
    "config.hosts.HostMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.admin_input.AdminInputMiddleware",
    "config.middleware.AdminSessionMiddleware",
    "config.middleware.AdminCsrfMiddleware",
    "config.middleware.AdminAuthenticationMiddleware",
    "config.middleware.AdminMessageMiddleware",
]
# security.W003 looks for Django's own CSRF middleware by name. Ours is a subclass that protects the admin's paths. The
# API uses no cookies, so no request to it can be forged.
# W005 and W021 ask for HSTS on the whole domain. The owner of the domain decides that (PAYOUTS_HSTS_WHOLE_DOMAIN).
SILENCED_SYSTEM_CHECKS = ["security.W003", "security.W005", "security.W021"]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database. Each thread keeps one connection for the life of the process, so requests do not wait for connecting. It is
# checked before use, so a request does not fail after a restart of PostgreSQL.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "postgres",
        "NAME": env.text("POSTGRES_DB", "payouts"),
        "USER": env.text("POSTGRES_USER", "payouts"),
        "PASSWORD": env.text("POSTGRES_PASSWORD"),
        "HOST": env.text("POSTGRES_HOST", "localhost"),
        "PORT": env.integer("POSTGRES_PORT", default=5432, minimum=1, maximum=65535),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "application_name": env.text("PAYOUTS_PROCESS_NAME", "payouts"),
            # Seconds. Connecting fails if the database does not answer.
            "connect_timeout": 5,
            # Seconds, and milliseconds. A connection to a vanished server (a failed host, a cut network) ends after a
            # minute. By default the kernel would wait for 15 minutes to two hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            # Parameters are sent apart from the SQL, and psycopg prepares a statement at its fifth use, so that it is
            # planned once. Switch this off for a transaction pooler without prepared statements.
            "server_side_binding": True,
            "prepare_threshold": 5 if env.boolean("PAYOUTS_PREPARED_STATEMENTS", default=True) else None,
        },
    }
}
# Replica for lists, sums and exports (docs/adr/0018). Without a replica they read from the primary.
REPLICA_HOST = env.host("PAYOUTS_REPLICA_HOST")
REPLICA_LAG_MAX_SECONDS = env.integer("PAYOUTS_REPLICA_LAG_MAX_SECONDS", default=30, minimum=1, maximum=86_400)
if REPLICA_HOST:
    _primary = DATABASES["default"]
    DATABASES["replica"] = {
        **_primary,
        "ENGINE": "postgres.replica",
        "HOST": REPLICA_HOST,
        "PORT": env.integer("PAYOUTS_REPLICA_PORT", default=_primary["PORT"], minimum=1, maximum=65535),
        "USER": env.text("PAYOUTS_REPLICA_USER", _primary["USER"]),
        "PASSWORD": env.text("PAYOUTS_REPLICA_PASSWORD", _primary["PASSWORD"]),
        # Short, because the primary can answer instead. (libpq takes no less than 2 s.)
        "OPTIONS": {**_primary["OPTIONS"], "connect_timeout": 2, "tcp_user_timeout": 5_000},
        # A test that needs a replica makes one.
        "TEST": {"MIRROR": "default"},
    }
DATABASE_ROUTERS = ["postgres.replica.routing.ReplicaRouter"]

# Timeouts of workers and sweepers in the database, as libpq reads them (PGOPTIONS; deploy/gunicorn.conf.py has those of
# the web processes). A process that freezes inside a transaction holds locks that others wait for. So the server ends
# the connection and rolls the transaction back. Migrations have no such limit.
# Without JIT: PostgreSQL would compile sums over many rows, which takes longer than the sums.
WORKER_PGOPTIONS = "-c jit=off -c lock_timeout=5s -c statement_timeout=30s -c idle_in_transaction_session_timeout=30s"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Seconds that one call of a provider may take. The other deadlines depend on it: Celery stops a task softly after 1.5
# times as long, and kills it after twice as long. The lease ends after three times as long, and only then the worker
# counts as gone. By default 30, 45, 60 and 90.
PROVIDER_TIMEOUT_SECONDS = env.integer("PAYOUTS_PROVIDER_TIMEOUT_SECONDS", default=30, minimum=2, maximum=300)
LEASE_SECONDS = PROVIDER_TIMEOUT_SECONDS * 3
# Calls of providers that one worker process makes at the same time, each in a thread.
WORKER_CALLS = env.integer("PAYOUTS_WORKER_CALLS", default=16, minimum=1, maximum=256)

# Celery over Redis is the doorbell; PostgreSQL is the queue (docs/adr/0003).
CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL",
    default="redis://localhost:6379/0",
    schemes=("redis", "rediss", "redis+socket", "unix", "amqp", "amqps", "memory"),
)
CELERY_RESULT_BACKEND = env.url(
    "CELERY_RESULT_BACKEND", default="", schemes=("redis", "rediss", "redis+socket", "unix", "rpc", "cache+memory")
)
# For processes that enqueue: one attempt of half a second. (The main process of a worker, which consumes, waits longer:
# config/celery.py.) Measured with a Redis that is down, silent or unreachable: 0.61 s at most. With such a RabbitMQ:
# 0.54 s, and 0.78 s if it becomes silent on an open connection, because closing waits for two more answers.
_RING_ONCE: dict[str, Any] = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
_REDIS_OPTIONS: dict[str, Any] = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
# RabbitMQ confirms a message only on request. Without that, messages to a frozen RabbitMQ, or to a connection that its
# restart closed, would count as enqueued, and the sweeper would leave their payouts to workers that never get them.
# Without time-outs RabbitMQ could block a request forever.
_AMQP_OPTIONS: dict[str, Any] = {"confirm_publish": True, "read_timeout": 0.25, "write_timeout": 0.25}
CELERY_BROKER_CONNECTION_TIMEOUT = 0.5
# Each transport uses the options that it knows.
CELERY_BROKER_TRANSPORT_OPTIONS = {**_RING_ONCE, **_REDIS_OPTIONS, **_AMQP_OPTIONS}
# Seconds. A worker closes a connection to RabbitMQ that was silent for twice as long. Redis has no heartbeat.
CELERY_BROKER_HEARTBEAT = 10
# RabbitMQ need not write messages to disk: a lost message only costs the time until the sweeper finds its payout.
CELERY_TASK_DEFAULT_DELIVERY_MODE = "transient"
CELERY_TASK_PUBLISH_RETRY_POLICY = _RING_ONCE
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "payouts"
# A queue of their own: callbacks do not wait behind payouts.
CELERY_TASK_ROUTES = {
    "payouts.apply_callback": {"queue": "callbacks"},
    # A queue of their own: an installation with many exports can have separate workers for them.
    "payouts.run_export": {"queue": "exports"},
}
CELERY_TASK_SOFT_TIME_LIMIT = PROVIDER_TIMEOUT_SECONDS * 3 // 2
CELERY_TASK_TIME_LIMIT = PROVIDER_TIMEOUT_SECONDS * 2
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = float(PROVIDER_TIMEOUT_SECONDS)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Otherwise Celery closes Django's connection before and after every task, despite CONN_MAX_AGE.
CELERY_DB_REUSE_MAX = 1000
CELERY_TIMEZONE = "UTC"

# Static files: they have hashed names, are compressed at build time, and browsers cache them permanently. `make run`
# serves them from the packages, without a build step (PAYOUTS_STATIC_FROM_SOURCE).
STATIC_URL = "/static/"
STATIC_FROM_SOURCE = env.boolean("PAYOUTS_STATIC_FROM_SOURCE", default=DEBUG)
STATIC_ROOT = None if STATIC_FROM_SOURCE else BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = STATIC_FROM_SOURCE
WHITENOISE_MAX_AGE = 60 if STATIC_FROM_SOURCE else 3600
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if STATIC_FROM_SOURCE
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# HTTP. The default is behind HTTPS. A debug installation and `make run` are not.
BEHIND_HTTPS = env.boolean("PAYOUTS_BEHIND_HTTPS", default=not DEBUG)
if BEHIND_HTTPS:
    # Others use this installation. (A first try with .env.example is not behind HTTPS.)
    env.refuse_short("DJANGO_SECRET_KEY", SECRET_KEY, length_min=16)
    env.refuse_known("POSTGRES_PASSWORD", DATABASES["default"]["PASSWORD"])
    env.refuse_short("POSTGRES_PASSWORD", DATABASES["default"]["PASSWORD"], length_min=8)
    env.refuse_known("CELERY_BROKER_URL", CELERY_BROKER_URL)
TRUSTED_PROXIES = env.integer("PAYOUTS_TRUSTED_PROXIES", default=0, minimum=0, maximum=5)
CSRF_TRUSTED_ORIGINS = env.items("DJANGO_CSRF_TRUSTED_ORIGINS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = BEHIND_HTTPS
# Inside the installation, health and metrics are read over plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_HTTPS else 0
# Opt-in: they apply to the whole domain, and the platform is only one of its hosts.
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.boolean("PAYOUTS_HSTS_WHOLE_DOMAIN", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS and TRUSTED_PROXIES else None
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/admin/"
SESSION_COOKIE_AGE = 8 * 60 * 60
X_FRAME_OPTIONS = "DENY"
APPEND_SLASH = False
# Seconds without progress after which an answer to a client is given up. A slow client is served. It is less than the
# lease of an export (payouts/exports/lifecycle.py), so an export that its client ended is recorded as such.
SEND_TIMEOUT_SECONDS = env.integer("PAYOUTS_SEND_TIMEOUT_SECONDS", default=60, minimum=1, maximum=240)
# Bytes. A payout with all fields at their limits has under 50 kB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "backoffice.logins.MaximumLengthValidator"},
]
PASSWORD_HASHERS = ["backoffice.hashing.PatientPBKDF2PasswordHasher"]

# Limits of what the exports of a merchant and mode may take in the database: megabytes as stored, and number.
EXPORT_KEPT_MEGABYTES_MAX = env.integer("PAYOUTS_EXPORT_KEPT_MEGABYTES", default=2048, minimum=1, maximum=1_000_000)
EXPORT_KEPT_MAX = env.integer("PAYOUTS_EXPORT_KEPT", default=500, minimum=1, maximum=100_000)

# Threads of a web process (deploy/gunicorn.conf.py starts as many). Files and reports get a share of them.
WEB_THREADS = env.integer("PAYOUTS_WEB_THREADS", default=4, minimum=1, maximum=128)
# Seconds. Time limit in the database of one report: a summary, or the query of a streamed export. Our proxy waits 40 s.
REPORT_TIMEOUT_SECONDS = env.integer("PAYOUTS_REPORT_TIMEOUT_SECONDS", default=15, minimum=1, maximum=30)

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.APIKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttles.APIKeyThrottle"],
    "DEFAULT_PARSER_CLASSES": ["rest.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "rest.negotiation.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api_errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Payouts API",
    "DESCRIPTION": (BASE_DIR / "docs" / "api-introduction.md").read_text(encoding="utf-8"),
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "tryItOutEnabled": True},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi_enums.share_enums",
        "config.openapi_requests.close_requests",
        "config.openapi.add_errors",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    # The serializer of PATCH has optional fields already.
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_SUFFIX": "",
    # config/openapi_enums.py describes them.
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # rest/ids.py.
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "string", "format": "uuid"}},
    "ENUM_NAME_OVERRIDES": {
        "PayoutStatus": "payouts.states.PayoutStatus",
        "Mode": "accounts.models.Mode",
        "ExportStatus": "payouts.models.ExportStatus",
        "ExportKind": "payouts.models.ExportKind",
        "ExportFormat": "payouts.models.ExportFormat",
        "Ordering": [(name, name) for name in ("-created_at", "created_at", "-amount", "amount")],
        "AttemptKind": "payouts.states.AttemptKind",
        "AttemptOutcome": "payouts.states.AttemptOutcome",
        "WaitingReason": "payouts.engine.holds.WaitingReason",
        "Scope": "accounts.models.Scope",
    },
    "TAGS": [
        {"name": "payouts", "description": "Ask for a payout and follow it to its end."},
        {"name": "reports", "description": "Sums and exports, with the filters of the list."},
        {"name": "idempotency", "description": "What an Idempotency-Key was used for."},
        {"name": "account", "description": "Who the API key speaks for."},
    ],
}

# Provider of live payouts: a name of payouts/providers/registry.py. If it is empty, live payouts are refused. Test
# payouts always go to the sandbox.
LIVE_PROVIDER = env.text("PAYOUTS_LIVE_PROVIDER")

# The provider `http_bank`: a bank, or a gateway in front of it, with the contract of docs/http-bank.md. Without an
# address there is no such provider. payouts/apps.py makes the provider from these settings.
HTTP_BANK: dict[str, Any] = {
    "base_url": env.text("PAYOUTS_HTTP_BANK_URL"),
    # Which bank it is. Payouts that one bank may have executed are never asked about, or sent again, at another.
    "identity": env.text("PAYOUTS_HTTP_BANK_ID"),
    "bearer_token": env.text("PAYOUTS_HTTP_BANK_TOKEN"),
    "signing_secret": env.text("PAYOUTS_HTTP_BANK_SECRET"),
    # At most two, during a change of the secret: a callback may be signed with either.
    "callback_secrets": tuple(env.items("PAYOUTS_HTTP_BANK_CALLBACK_SECRET")),
    "ca_file": env.text("PAYOUTS_HTTP_BANK_CA_BUNDLE"),
    "timeout_seconds": float(PROVIDER_TIMEOUT_SECONDS),
    # Promises of the bank. Concurrent calls; 0: no limit but the number of workers.
    "concurrency_max": env.integer("PAYOUTS_HTTP_BANK_CONCURRENCY_MAX", default=8, minimum=0, maximum=10_000),
    # Seconds for which the bank pays the same reference only once; 0: no payout is sent a second time.
    "idempotency_window_seconds": env.integer(
        "PAYOUTS_HTTP_BANK_IDEMPOTENCY_SECONDS", default=86_400, minimum=0, maximum=315_360_000
    ),
    # Seconds within which the bank knows the outcome of an accepted transfer.
    "settle_time_seconds": env.integer(
        "PAYOUTS_HTTP_BANK_SETTLE_SECONDS", default=259_200, minimum=60, maximum=315_360_000
    ),
    # Seconds for which the bank is asked if a payment was returned, unless it reports that it cannot tell.
    "return_window_seconds": env.integer(
        "PAYOUTS_HTTP_BANK_RETURN_SECONDS", default=259_200, minimum=0, maximum=315_360_000
    ),
}

# Seconds. Maximum delay between two attempts. The delays start at 2 and 5 s and double.
RETRY_DELAY_MAX_SECONDS = float(env.integer("PAYOUTS_RETRY_DELAY_MAX_SECONDS", default=900, minimum=1, maximum=86_400))

# Seconds after which a payout that could not be sent is given up, without the time under operators' pauses: trouble
# of a provider that begins on a Friday evening is found on Monday.
GIVE_UP_SECONDS = env.integer("PAYOUTS_GIVE_UP_SECONDS", default=259_200, minimum=60, maximum=31_536_000)

# Days for which the answer to an Idempotency-Key is kept for replays; the key itself is kept forever. Under a day, a
# client that queues its retries over night would get no replay.
IDEMPOTENCY_RESPONSE_DAYS = env.integer("PAYOUTS_IDEMPOTENCY_RESPONSE_DAYS", default=30, minimum=1, maximum=36_500)

# Days for which a background export can be downloaded: long enough to include a working day. It can be requested again
# at any time.
EXPORT_DAYS = env.integer("PAYOUTS_EXPORT_DAYS", default=7, minimum=1, maximum=365)
# Concurrent background exports of all workers together. A worker has two processes by default, and exports must leave
# one for payouts.
EXPORT_CONCURRENCY = env.integer("PAYOUTS_EXPORT_CONCURRENCY", default=1, minimum=1, maximum=1_000)

# Requests a minute of one API key, and of all keys of a merchant in a mode together; 0 switches a limit off. Both
# need Redis and fail open (accounts/buckets.py). They are off if the broker is not Redis and no address is set.
THROTTLE_REQUESTS_PER_MINUTE = env.integer(
    "PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE", default=6000, minimum=0, maximum=10_000_000
)
THROTTLE_MERCHANT_REQUESTS_PER_MINUTE = env.integer(
    "PAYOUTS_THROTTLE_MERCHANT_REQUESTS_PER_MINUTE",
    default=min(5 * THROTTLE_REQUESTS_PER_MINUTE, 10_000_000),
    minimum=0,
    maximum=10_000_000,
)
THROTTLE_REDIS_URL = env.url(
    "PAYOUTS_THROTTLE_REDIS_URL",
    default=CELERY_BROKER_URL if CELERY_BROKER_URL.startswith(("redis://", "rediss://")) else "",
    schemes=("redis", "rediss", "unix"),
)

LOG_FORMAT = env.choice("PAYOUTS_LOG_FORMAT", default="json", choices=("json", "console"))
LOG_LEVEL = env.choice("PAYOUTS_LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "config.logs.RequestIdFilter"}},
    "formatters": {
        "json": {"()": "config.logs.JSONFormatter"},
        "console": {"()": "config.logs.ConsoleFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request_id"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Our own log events replace those of Celery at INFO.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # Each call of a bank is an attempt in the database.
        "httpx": {"level": "WARNING"},
        # Django logs each 4xx as a warning. The access log has them already.
        "django.request": {"level": "ERROR"},
        # Scanners send other hosts and get 400. They must not fill the log with tracebacks.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
