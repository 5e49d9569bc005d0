"""Eight requests at once are the first of a process: what it makes once must not be made twice, or half."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support import processes

# A process that has answered nothing so far gets its first requests in 8 threads at once. What is counted is how often
# the library makes a document. The process prints one line for each answer that differs from the others.
FRESH = """
import collections, os, threading
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

made = []
make = SchemaGenerator.get_schema
SchemaGenerator.get_schema = lambda self, *given, **named: made.append(1) or make(self, *given, **named)
PATHS = ["/api/schema/", "/api/schema/?format=json", "/api/schema/swagger-ui/", "/api/schema/bank/"] * 2
barrier = threading.Barrier(len(PATHS))
answers = collections.defaultdict(set)

def ask(path):
    client = Client(raise_request_exception=False)
    barrier.wait(timeout=15)
    response = client.get(path, secure=True, headers={"host": "localhost"})
    # The page of Swagger UI has a CSRF token of its own in each answer.
    answers[path].add((response.status_code, b"" if "swagger" in path else response.content))

threads = [threading.Thread(target=ask, args=[path]) for path in PATHS]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted((path, status) for path, given in answers.items() for status, _ in given), len(made))
"""


class TestFirstRequests:
    def test_of_eight_threads_at_once_are_answered(self, tmp_path: Path) -> None:
        ended = processes.run_all([sys.executable, "-c", FRESH], tmp_path, [{"PAYOUTS_STATIC_FROM_SOURCE": "true"}] * 3)

        paths = ["/api/schema/", "/api/schema/?format=json", "/api/schema/bank/", "/api/schema/swagger-ui/"]
        assert {one.stdout.strip() for one in ended} == {f"{[(path, 200) for path in paths]} 1"}, ended
