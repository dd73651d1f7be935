"""The blocking shell: `Workspace` and `Webservice`. It carries out what `operation` and `scoring` decide."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

from gateway.client import address, operation, scoring
from gateway.client.error import UnreachableError
from gateway.client.message import Answer, Dialogue, Pause, Request, Result
from gateway.client.service import ServiceFields
from gateway.client.transport import Transport

Webservices: TypeAlias = "list[Webservice]"


class Workspace(address.Located):
    """A gateway, seen through its admin API. Safe to use from several threads.

    Arguments as of `Located`; `timeout_seconds`: the longest silence of the gateway, connecting included.
    """

    def __init__(
        self,
        admin_url: str,
        credential: str,
        ca_file: str | None = None,
        *,
        timeout_seconds: float = address.TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(admin_url, credential, ca_file)
        self._transport = Transport(ca_file, timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def webservices(self) -> dict[str, Webservice]:
        """Every service by name."""
        return {service.name: service for service in Webservice.list(self)}

    def call(self, request: Request) -> Any:
        """One operation of the admin API: its JSON answer as it came."""
        return self.converse(operation.call(request))

    def converse(self, dialogue: Dialogue[Result]) -> Result:
        """Carry a dialogue out."""
        try:
            step = next(dialogue)
            while True:
                try:
                    answer = self._perform(step)
                except UnreachableError as error:
                    step = dialogue.throw(error)
                else:
                    step = dialogue.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result

    def close(self) -> None:
        """Close kept connections. The workspace can be used again."""
        self._transport.close()

    def _perform(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._transport.send(step)


class Webservice(ServiceFields):
    """One service. Made by name it is read at once; raises WebserviceNotFound."""

    def __init__(self, workspace: Workspace, name: str, *, document: Mapping[str, Any] | None = None) -> None:
        """`document`: the service as an operation answered it; then nothing is read."""
        self._workspace = workspace
        self.document = document or workspace.call(operation.get_service(workspace.address, name))
        self._credentials = scoring.Credentials(workspace.address, self.name)

    @classmethod
    def list(
        cls, workspace: Workspace, compute_type: str | None = None, *, tags: operation.Tags | None = None
    ) -> Webservices:
        """Every service with these tags (`{"team": "risk"}`, or names and [name, value] pairs) and compute type."""
        documents = workspace.converse(operation.every_service(workspace.address, tags=tags))
        return [
            cls(workspace, document["name"], document=document)
            for document in documents
            if compute_type is None or document["compute_type"] == compute_type
        ]

    @classmethod
    def create(cls, workspace: Workspace, name: str, **block: Any) -> Self:
        """Make a service, or replace the one of this name. `block`: keys of `services.<name>` in gateway.yaml."""
        document = workspace.call(operation.put_service(workspace.address, name, block))
        return cls(workspace, name, document=document)

    def refresh(self) -> None:
        """Read the service's fields again."""
        self.document = self._workspace.call(operation.get_service(self._workspace.address, self.name))

    def update(self, **block: Any) -> None:
        """Change what is named, leave the rest. None takes a key back to its default; nested keys are merged."""
        self.document = self._workspace.call(operation.patch_service(self._workspace.address, self.name, block))

    def delete(self) -> None:
        """Delete the service and its keys."""
        self._workspace.call(operation.delete_service(self._workspace.address, self.name))

    def get_keys(self) -> tuple[str, str]:
        """(primary, secondary), read anew."""
        return self._workspace.converse(self._credentials.keys())

    def regen_key(self, key: str, set_key: str | None = None) -> str:
        """A new `Primary` or `Secondary` key: random, or `set_key`. Gives its value; the old one opens nothing more."""
        return self._workspace.converse(self._credentials.regenerate(key, set_key))

    def get_token(self) -> tuple[str, datetime]:
        """A new token, and the time (timezone-aware) from which to ask for the next; it lives longer than that."""
        return self._workspace.converse(self._credentials.token())

    def run(self, data: Any, content_type: str = "application/json") -> Any:
        """Score once. `data`: text or bytes as they are, anything else as JSON.

        Gives the JSON value, or bytes when the answer is no JSON. Raises ScoringError, UnreachableError.
        """
        return self._workspace.converse(scoring.run(self._credentials, self.document, data, content_type))

    def status(self) -> dict[str, Any]:
        """State, deployments with their backends, queue and utilization: the answer of the status operation."""
        status: dict[str, Any] = self._workspace.call(operation.get_status(self._workspace.address, self.name))
        return status

    def get_logs(self) -> str:
        """The present status as lines of text. A gateway keeps no model's output: read that where the model runs."""
        return operation.status_text(self.name, self.status())

    def wait_for_deployment(
        self, show_output: bool = False, timeout_seconds: float = operation.DEPLOYMENT_TIMEOUT_SECONDS
    ) -> None:
        """Return when the service is healthy. Raises DeploymentTimeoutError. `show_output`: tell changes on stdout."""
        self._workspace.converse(
            operation.until_healthy(
                self._workspace.address, self.name, timeout_seconds=timeout_seconds, show=print if show_output else None
            )
        )
        self.refresh()
