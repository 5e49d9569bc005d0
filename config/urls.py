from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView

from config import api_document, health, metrics, openapi
from payouts.api import bank_contract, openapi_fields
from payouts.exports import openapi as export_openapi
from payouts.urls import callback_urlpatterns, export_urlpatterns

urlpatterns = [
    path("api/payouts/", include("payouts.urls")),
    path("api/exports/", include(export_urlpatterns)),
    path("api/callbacks/", include(callback_urlpatterns)),
    path("api/idempotency-keys/", include("idempotency.urls")),
    path("api/", include("accounts.urls")),
    path("api/schema/", api_document.APIDocumentView.as_view(), name="schema"),
    path("api/schema/swagger-ui/", SpectacularSwaggerView.as_view(url_name="schema"), name="swagger-ui"),
    path("api/schema/redoc/", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    path("api/schema/bank/", bank_contract.bank_schema, name="bank-schema"),
    path(
        "api/schema/bank/redoc/",
        SpectacularRedocView.as_view(url_name="bank-schema", title="The contract of a bank"),
        name="bank-redoc",
    ),
    path("admin/", admin.site.urls),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    # For people who open the address in a browser.
    path("", RedirectView.as_view(pattern_name="swagger-ui")),
]

# Named here, so that the extensions are there whenever the schema is made.
schema_extensions = (
    openapi.APIKeyScheme,
    openapi_fields.TextExtension,
    openapi_fields.MetadataExtension,
    export_openapi.FiltersExtension,
)

handler400 = "config.api_errors.bad_request"
handler404 = "config.api_errors.not_found"
handler500 = "config.api_errors.server_error"
