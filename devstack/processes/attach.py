"""Give `manage.py` the database and broker of a running stack.

Standard library only. Does nothing without a stack: in a container, on a server, in continuous integration.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from devstack.processes import state

# Settings that belong together: some set by hand and some from the stack would mix two installations.
_GROUPS = (
    ("POSTGRES_HOST", ("POSTGRES_", "PAYOUTS_REPLICA_")),
    ("CELERY_BROKER_URL", ("CELERY_",)),
)


def attach(environment: MutableMapping[str, str]) -> bool:
    """Set the missing variables from the running stack in PAYOUTS_STATE_DIR; say whether there is one."""
    stack = state.read_stack(state.directory_from(environment))
    if stack is None or not state.is_up(stack):
        return False
    skipped = tuple(prefix for name, prefixes in _GROUPS if is_set(environment, name) for prefix in prefixes)
    for name, value in stack.get("environment", {}).items():
        if not name.startswith(skipped) and not is_set(environment, name.removesuffix("_FILE")):
            environment[name] = value
    return True


def is_set(environment: MutableMapping[str, str], name: str) -> bool:
    """Say whether the variable, or NAME_FILE with the path of a file that holds the value, is set."""
    return bool(environment.get(name) or environment.get(f"{name}_FILE"))
