"""A client that openapi-python-client makes of the OpenAPI document, as an integrator would."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "payouts_client"
# Nothing is to run over the code afterwards: a formatter might have to be fetched first.
_CONFIGURATION = "post_hooks: []\n"
_ENDS_WITHIN_SECONDS = 60


def generate(document: Path, directory: Path) -> str:
    """Make the client of the document in this directory. Return what the generator said."""
    configuration = directory / "configuration.yaml"
    configuration.write_text(_CONFIGURATION, encoding="utf-8")
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--meta", "none"),
            *("--path", str(document), "--config", str(configuration), "--output-path", str(directory / PACKAGE)),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=_ENDS_WITHIN_SECONDS,
    )
    return done.stdout + done.stderr


class GeneratedClient:
    """The package, and a client of it with an API key. `call` is what an integrator writes as `operation.sync(...)`."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.models: ModuleType = importlib.import_module(f"{PACKAGE}.models")
        made: Any = importlib.import_module(PACKAGE)
        self.client: Any = made.AuthenticatedClient(base_url=base_url, token=api_key, prefix="Api-Key")

    def call(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Return what the operation returns: the typed answer, or a Problem."""
        return self._module(operation).sync(*arguments, client=self.client, **named)

    def detailed(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Return the answer with its status and headers."""
        return self._module(operation).sync_detailed(*arguments, client=self.client, **named)

    def close(self) -> None:
        self.client.get_httpx_client().close()

    def _module(self, operation: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.api.{operation}")
