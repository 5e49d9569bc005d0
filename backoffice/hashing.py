"""Passwords are hashed in threads of low priority: a core that is busy with a login must not delay payouts."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

from django.contrib.auth.hashers import PBKDF2PasswordHasher

#: The hash lets other threads of Python run meanwhile.
_THREADS_MAX: Final = 2
#: The lowest priority. A core that has nothing else to do hashes as fast as before.
_NICENESS: Final = 19


class PatientPBKDF2PasswordHasher(PBKDF2PasswordHasher):
    """Django's hasher, with the same name and the same hashes."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Hash the password in another thread."""
        return pool().submit(super().encode, password, salt, iterations).result()


@cache
def pool() -> ThreadPoolExecutor:
    """Return the threads of this process."""
    return ThreadPoolExecutor(_THREADS_MAX, "hashing", initializer=_step_back)


def _step_back() -> None:
    # On Linux the priority is that of the thread, elsewhere that of the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


# A process that is forked does not inherit the threads.
os.register_at_fork(after_in_child=pool.cache_clear)
