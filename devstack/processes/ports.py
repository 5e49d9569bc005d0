"""Ports on the loopback interface."""

from __future__ import annotations

import errno
import socket

from devstack import errors

LOOPBACK = "127.0.0.1"


def free() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def reserve(port: int) -> socket.socket:
    """Bind the port, for the web server to inherit; 0 takes a free one. Connections fail until the server listens."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((LOOPBACK, port))
    except OSError as error:
        taken.close()
        raise _refusal(port, error) from error
    return taken


def answers(port: int, *, say: bytes, expect: bytes) -> bool:
    """Send `say` to the port and return whether the answer holds `expect`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
            connection.sendall(say)
            return expect in connection.recv(4096)
    except OSError:
        return False


def _refusal(port: int, error: OSError) -> errors.StackError:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else 8000
        return errors.StackError(f"Port {port} is in use. Stop what uses it, or choose another: make run PORT={other}.")
    if error.errno == errno.EACCES:
        return errors.StackError(f"Port {port} needs more rights than you have. Choose another: make run PORT=8000.")
    return errors.StackError(f"Port {port} cannot be used: {error.strerror}. Choose another: make run PORT=8000.")
