"""Starts PostgreSQL and Redis together and puts their addresses into the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from devstack.processes import attach, launcher
from devstack.servers import environment, postgres, redis, replica, service


@dataclass(frozen=True)
class Services:
    """What the platform's processes need to know."""

    environment: dict[str, str]
    cluster_created: bool


def start(launch: launcher.Launcher, *, durable: bool, with_replica: bool = False) -> Services:
    """Start PostgreSQL and Redis unless POSTGRES_HOST and CELERY_BROKER_URL name others; wait until they answer."""
    secrets = launch.state.secrets()
    result = environment.for_processes(secret_key=secrets["secret_key"], state_directory=str(launch.state.path))
    start_redis = not attach.is_set(os.environ, "CELERY_BROKER_URL")
    start_postgres = not attach.is_set(os.environ, "POSTGRES_HOST")
    broker = _Redis(launch, password=secrets["redis_password"], durable=durable) if start_redis else None
    if broker:
        broker.start()
    created = False
    if start_postgres:
        database = _Postgres(launch, password=secrets["postgres_password"], durable=durable)
        created = database.create()
        standby = _Replica(database, replication_password=secrets["replication_password"]) if with_replica else None
        if standby:
            standby.allow()
        database.start()
        database.wait()
        result = environment.with_database(result, database.server.environment)
        if standby:
            standby.start_following()
            result = environment.with_replica(result, port=standby.server.port)
    if broker:
        broker.wait()
        result = environment.with_broker(result, broker.server.url)
    return Services(environment=result, cluster_created=created)


class _Redis(service.Service):
    def __init__(self, launch: launcher.Launcher, *, password: str, durable: bool) -> None:
        super().__init__(launch)
        self._password = password
        self._durable = durable

    def start(self) -> None:
        directory = self.launch.state.path / "redis"
        self.server, self.child = redis.start(
            self.launch.children, directory=directory, password=self._password, durable=self._durable
        )

    def is_ready(self) -> bool:
        return self.server.answers()


class _Postgres(service.Service):
    def __init__(self, launch: launcher.Launcher, *, password: str, durable: bool) -> None:
        super().__init__(launch)
        self.password = password
        self.installation = postgres.Installation(
            launch.children,
            cluster=launch.state.path / "postgres",
            durable=durable,
            register=launch.remove_at_end,
        )

    def create(self) -> bool:
        return self.installation.create_cluster(password=self.password)

    def start(self) -> None:
        self.server, self.child = self.installation.start(password=self.password)

    def is_ready(self) -> bool:
        return self.server.is_ready()


class _Replica(service.Service):
    def __init__(self, database: _Postgres, *, replication_password: str) -> None:
        super().__init__(database.launch)
        self._database = database
        self._directory = database.launch.state.path / "replica"
        self._standby = replica.Standby(database.installation, directory=self._directory, password=replication_password)

    def allow(self) -> None:
        self._standby.allow()

    def start_following(self) -> None:
        """Copy the primary, and return when the copy answers."""
        self.launch.remove_at_end(self._directory)
        self._standby.copy(self._database.server)
        self.start()
        self.wait()
        # The stack goes on without the replica, as the platform does: a user may end it to see that.
        self.child.essential = False

    def start(self) -> None:
        self.server, self.child = self._standby.start(password=self._database.password)

    def is_ready(self) -> bool:
        return self.server.is_ready()
