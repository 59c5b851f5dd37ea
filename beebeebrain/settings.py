"""Django's settings: one flat file. What the environment decides comes from `env.py`."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from api import about
from beebeebrain import env, logs

try:
    ENV = env.load()
except env.SettingRefused as refused:
    raise ImproperlyConfigured(str(refused)) from None

BASE_DIR = Path(__file__).resolve().parent.parent
BBB_HOME = ENV.bbb_home
IS_PRODUCTION = ENV.bbb_profile == "production"
IS_TEST = ENV.bbb_profile == "test"


def _home() -> Path:
    try:
        BBB_HOME.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ImproperlyConfigured(f"BBB_HOME: {BBB_HOME} cannot be made a folder: {error.strerror}") from None
    return BBB_HOME


def _secret_key() -> str:
    """Return the key given, or the one made on the first start and kept in BBB_HOME."""
    if given := ENV.secret_key():
        return given
    kept = _home() / "secret_key"
    if not kept.exists():
        # Written first and named then: of two first starts in one moment, the second reads the whole key of the first.
        with tempfile.NamedTemporaryFile("w", dir=kept.parent) as stream:
            stream.write(secrets.token_urlsafe(48))
            stream.flush()
            with suppress(FileExistsError):
                os.link(stream.name, kept)
    return kept.read_text().strip()


SECRET_KEY = _secret_key()
DEBUG = False
ALLOWED_HOSTS = ENV.bbb_allowed_hosts
CSRF_TRUSTED_ORIGINS = ENV.bbb_trusted_origins

OUR_APPS = ["security", "events", "llm", "orchestration", "inbox", "runtime", "beebeebrain"]
# Daphne as an app gives its own `runserver`, which knows WebSockets. No other process needs it, and it would cost each the
# import of Twisted, a fifth of its start.
_RUNSERVER = ["daphne"] if "runserver" in sys.argv[1:] else []
INSTALLED_APPS = [
    *_RUNSERVER,
    # Without unfold's own site: ours is one of its kind.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "beebeebrain.site.Admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "django_structlog",
    *OUR_APPS,
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "beebeebrain.tracing.TraceMiddleware",
    "security.denials.DenialMiddleware",
    "security.logins.LockedLoginMiddleware",
]

ROOT_URLCONF = "beebeebrain.urls"
ASGI_APPLICATION = "beebeebrain.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the packages' own: the admin's first page is ours.
        "DIRS": [BASE_DIR / "beebeebrain" / "templates"],
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


# What is committed survives a power failure. The data of tests need not, as on PostgreSQL (tests/postgres.py); it does
# survive a killed process.
_SYNCHRONOUS = "OFF" if IS_TEST else "FULL"


def _database() -> dict[str, Any]:
    if url := ENV.database_url.get_secret_value():
        parsed: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
        # A scheduler that was stopped in a transaction, or cut off, would hold its locks for ever.
        parsed["OPTIONS"] = {"options": "-c idle_in_transaction_session_timeout=60s"} | parsed.get("OPTIONS", {})
        return parsed
    return {
        "ENGINE": "beebeebrain.sqlite",
        "NAME": _home() / "beebeebrain.db",
        # To open a connection takes longer than most requests; those of a thread that stays are kept.
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # Take the write lock at the start of a transaction: an upgrade from a read lock fails at once
            # instead of waiting.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": f"PRAGMA journal_mode=WAL;PRAGMA synchronous={_SYNCHRONOUS};PRAGMA journal_size_limit=67108864;",
        },
        # A file, so that other processes of a test can open it; pytest-xdist adds its worker to the name.
        "TEST": {"NAME": str(BBB_HOME / f"test_{os.getpid()}.db")},
    }


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# With IMMEDIATE each GET would take the write lock.
ATOMIC_REQUESTS = False

CHANNEL_LAYERS: dict[str, Any] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if ENV.redis_url.get_secret_value():
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [ENV.redis_url.get_secret_value()]},
    }

# In these, logins and requests are counted: in `default` together with the other web processes, where there is Redis.
_MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
CACHES: dict[str, Any] = {"default": {**_MEMORY, "LOCATION": "default"}, "local": {**_MEMORY, "LOCATION": "local"}}
if ENV.redis_url.get_secret_value():
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": ENV.redis_url.get_secret_value(),
        "KEY_PREFIX": "bbb",
        # No request waits for it any longer; security.counting goes on without.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }

AUTHENTICATION_BACKENDS = ["security.logins.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if IS_TEST:
    # Tests log in often; the default hasher is slow by design.
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"

TRUSTED_PROXIES = ENV.bbb_trusted_proxies
LOGIN_FAILURES = ENV.bbb_login_failures
TOKEN_FAILURES_PER_MINUTE = ENV.bbb_token_failures_per_minute
API_PER_MINUTE = ENV.bbb_api_per_minute
EVENTS_PER_MINUTE = ENV.bbb_events_per_minute

# What operators may do by the API, said once more in Django's permissions (security/grants.py); a test compares.
OPERATED = {
    "orchestration.comment": ("add", "change", "delete"),
    "orchestration.document": ("add", "change", "delete"),
    "orchestration.task": ("add", "change", "delete"),
    "orchestration.taskdependency": ("add", "change", "delete"),
    "inbox.inboxitem": ("add", "change"),
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if IS_PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
TIME_ZONE = "UTC"
USE_I18N = True
FORMAT_MODULE_PATH = "beebeebrain.formats"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Files come straight out of the installed packages: no collectstatic before the first start.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "security.authentication.ApiTokenAuthentication",
        "security.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["security.permissions.RolePermission"],
    "DEFAULT_THROTTLE_CLASSES": ["security.throttles.ApiThrottle"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "api.queries.OrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "api.paging.CursorPage",
    "PAGE_SIZE": 50,
    "DEFAULT_RENDERER_CLASSES": ["api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsing.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    # `?format=` is no parameter of ours, and refused like any other; the Accept header chooses.
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

DRF_STANDARDIZED_ERRORS: dict[str, Any] = {
    "EXCEPTION_HANDLER_CLASS": "beebeebrain.errors.Handler",
    "EXCEPTION_FORMATTER_CLASS": "beebeebrain.errors.Formatter",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "BeeBeeBrain",
    "SITE_HEADER": "BeeBeeBrain",
    "SITE_SYMBOL": "hive",
    # The event log is the history; the admin's own knows only what was done in the admin.
    "SHOW_HISTORY": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "beebeebrain.navigation.icon"}],
    "STYLES": ["beebeebrain.navigation.stylesheet"],
    "SIDEBAR": {"navigation": "beebeebrain.navigation.sidebar"},
    "TABS": "beebeebrain.navigation.tabs",
    "DASHBOARD_CALLBACK": "beebeebrain.dashboard.context",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "BeeBeeBrain API",
    "DESCRIPTION": about.DESCRIPTION,
    "VERSION": "1",
    "LICENSE": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    "TAGS": about.TAGS,
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "api.schema.link_what_is_made"],
    # The labels of our choices say nothing that their values do not say.
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "CommentStatusEnum": "orchestration.states.CommentStatus.choices",
        "EventTypeEnum": "events.states.EventType.choices",
        "TaskStatusEnum": "orchestration.states.TaskStatus.choices",
        "AgentStatusEnum": "orchestration.states.AgentStatus.choices",
        "RunStatusEnum": "runtime.states.RunStatus.choices",
        "LogKindEnum": "runtime.states.LogKind.choices",
        "ItemStatusEnum": "inbox.states.ItemStatus.choices",
    },
}

DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = False
# One line a request, at its end: at its beginning the trace is not known yet.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
LOGGING = logs.configuration(level=ENV.log_level, style=ENV.log_format, file=ENV.log_file)
logs.configure()

# What the apps read, under names of their own.
MAX_PARALLEL_RUNS = ENV.bbb_max_parallel_runs
DAILY_BUDGET_USD = ENV.bbb_daily_budget_usd
LEASE_S = ENV.bbb_lease_s
TICK_S = ENV.bbb_tick_s
POLL_S = ENV.bbb_poll_s
ASK_WAIT_S = ENV.bbb_ask_wait_s
IDLE_TIMEOUT_S = ENV.bbb_idle_timeout_s
RETRY_BASE_S = ENV.bbb_retry_base_s
RETRY_CAP_S = ENV.bbb_retry_cap_s
MAX_CHECK_ROUNDS = ENV.bbb_max_check_rounds
STOP_GRACE_S = ENV.bbb_stop_grace_s
STUCK_SCAN_INTERVAL_S = ENV.bbb_stuck_scan_interval_s
STUCK_IDLE_TIMEOUT_S = ENV.bbb_stuck_idle_timeout_s
STUCK_TOOL_TIMEOUT_S = ENV.bbb_stuck_tool_timeout_s
STUCK_REPEAT_WINDOW = ENV.bbb_stuck_repeat_window
STUCK_REPEAT_THRESHOLD = ENV.bbb_stuck_repeat_threshold
STUCK_ERROR_WINDOW = ENV.bbb_stuck_error_window
STUCK_ERROR_MIN_CALLS = ENV.bbb_stuck_error_min_calls
STUCK_ERROR_RATE_THRESHOLD = ENV.bbb_stuck_error_rate_threshold
STUCK_NUDGE_WAIT_S = ENV.bbb_stuck_nudge_wait_s
STUCK_MUTE_S = ENV.bbb_stuck_mute_s
KEEP_EVENTS_DAYS = ENV.bbb_keep_events_days
KEEP_PROGRESS_DAYS = ENV.bbb_keep_progress_days
KEEP_RUN_LOGS_DAYS = ENV.bbb_keep_run_logs_days
COMPRESS_RUN_FILES_DAYS = ENV.bbb_compress_run_files_days
KEEP_RUN_FILES_DAYS = ENV.bbb_keep_run_files_days
RUN_LOG_MAX_BYTES = ENV.bbb_run_log_max_bytes
