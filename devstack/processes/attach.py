"""Let `manage.py` find the database and broker of a running stack by itself.

Standard library only, and harmless where there is no stack: in a container, on a server, in continuous integration.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from devstack.processes import state

# Settings that belong together: one of them set by hand and the others from the stack would be a mixture of two places.
_GROUPS = (
    ("POSTGRES_HOST", ("POSTGRES_", "PAYOUTS_REPLICA_")),
    ("CELERY_BROKER_URL", ("CELERY_",)),
)


def attach(environment: MutableMapping[str, str]) -> bool:
    """Set what the environment lacks from the stack that is up in PAYOUTS_STATE_DIR; say whether there is one."""
    stack = state.read_stack(state.directory_from(environment))
    if stack is None or not state.is_up(stack):
        return False
    skipped = tuple(prefix for name, prefixes in _GROUPS if is_set(environment, name) for prefix in prefixes)
    for name, value in stack.get("environment", {}).items():
        if not name.startswith(skipped) and not is_set(environment, name.removesuffix("_FILE")):
            environment[name] = value
    return True


def is_set(environment: MutableMapping[str, str], name: str) -> bool:
    """A setting is set by its name, or by NAME_FILE, which names a file that holds it."""
    return bool(environment.get(name) or environment.get(f"{name}_FILE"))
