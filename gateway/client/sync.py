"""The blocking shell: `Workspace`, `Webservice`, `ScoringClient`. It carries out what the other modules decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

from gateway.client import address, callers, keys, operation, scoring, tokens
from gateway.client.callers import Documents
from gateway.client.error import UnreachableError
from gateway.client.message import Answer, Dialogue, Pause, Request, Result
from gateway.client.service import ServiceFields
from gateway.client.transport import Transport

Webservices: TypeAlias = "list[Webservice]"


class Conversation:
    """Carries dialogues out, over connections that are kept. Safe to use from several threads."""

    def __init__(self, ca_file: str | None, timeout_seconds: float) -> None:
        self._transport = Transport(ca_file, timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        """Close kept connections. It can be used again."""
        self._transport.close()

    def _perform(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._transport.send(step)


class Workspace(address.Located, Conversation):
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
        address.Located.__init__(self, admin_url, credential, ca_file)
        Conversation.__init__(self, ca_file, timeout_seconds)

    @property
    def webservices(self) -> dict[str, Webservice]:
        """Every service by name."""
        return {service.name: service for service in Webservice.list(self)}

    def call(self, request: Request) -> Any:
        """One operation of the admin API: its JSON answer as it came."""
        return self.converse(operation.call(request))


class ScoringClient(Conversation):
    """Scores at one service with a credential that may do nothing else: it is exchanged for tokens, again and again.

    `scoring_uri`: of the service; `credential`: the bearer token of your identity provider, or a function that gives
    one, since it expires, too; `ca_file`, `timeout_seconds` as of `Workspace`. The gateway has `tokens.exchange` on.
    """

    def __init__(
        self,
        scoring_uri: str,
        credential: str | Callable[[], str],
        ca_file: str | None = None,
        *,
        timeout_seconds: float = address.TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(ca_file, timeout_seconds)
        self.scoring_uri = scoring_uri
        self._exchanged = tokens.Exchanged(scoring_uri, credential)

    def __repr__(self) -> str:
        return f"ScoringClient({self.scoring_uri!r})"

    def get_token(self) -> tuple[str, datetime]:
        """A new token, and the time (timezone-aware) from which to ask for the next; `run` does both by itself."""
        return self.converse(self._exchanged.token())

    def run(self, data: Any, content_type: str = "application/json") -> Any:
        """Score once, as `Webservice.run`. Raises ScoringError, RefusedError, UnreachableError."""
        service = {"scoring_uri": self.scoring_uri}
        return self.converse(scoring.run(self._exchanged, service, data, content_type))


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

    def regen_key(
        self,
        key: str,
        set_key: str | None = None,
        *,
        grace_seconds: int | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """A new `Primary` or `Secondary` key: random, or `set_key`. Gives its value.

        The old one opens for `grace_seconds` more, the new one until `expires_at`; None: as the service is configured.
        """
        return self._workspace.converse(self._credentials.regenerate(key, set_key, grace_seconds, expires_at))

    def expire_key(self, key: str, expires_at: datetime | None) -> None:
        """Let the `Primary` or `Secondary` key end then (None: never). On return every worker knows."""
        request = keys.patch_key(self._workspace.address, self.name, keys.slot_named(key), expires_at=expires_at)
        self._workspace.call(request)

    def key_slots(self) -> dict[str, Any]:
        """How both keys are used, by slot, without them: `last_used_at`, `uses_24h`, `safe_to_regenerate`, `advice`."""
        return self._workspace.converse(keys.slots(self._workspace.address, self.name))

    def get_token(self) -> tuple[str, datetime]:
        """A new token, and the time (timezone-aware) from which to ask for the next; it lives longer than that."""
        return self._workspace.converse(self._credentials.token())

    def revoke_tokens(self, jti: str | None = None, subject: str | None = None) -> dict[str, Any]:
        """End one token (its `jti`), those of a subject, or all there are. On return no worker opens to them."""
        request = tokens.revoke_tokens(self._workspace.address, self.name, jti=jti, subject=subject)
        answer: dict[str, Any] = self._workspace.call(request)
        return answer

    def callers(self) -> Documents:
        """Every named caller of the service, without its key: `name`, `verbs`, `rate_limits`, `expires_at`, uses."""
        return self._workspace.converse(callers.every_caller(self._workspace.address, self.name))

    def caller(self, name: str) -> dict[str, Any]:
        """One named caller; `key` is None where the gateway shows keys once only. Raises RefusedError (404)."""
        return self._call(callers.get_caller(self._workspace.address, self.name, name))

    def create_caller(self, name: str, **block: Any) -> dict[str, Any]:
        """Give a customer a key of its own, in `key`. `block`: `verbs`, `expires_at` (a datetime), `rate_limits`."""
        return self._call(callers.create_caller(self._workspace.address, self.name, name, block))

    def update_caller(self, name: str, **block: Any) -> dict[str, Any]:
        """Change what is named, leave the rest; None takes a field back to its default. The key stays."""
        return self._call(callers.patch_caller(self._workspace.address, self.name, name, block))

    def regen_caller_key(self, name: str, grace_seconds: int | None = None) -> str:
        """A new key for a caller; the one before opens for so long (None: as configured). Gives its value."""
        request = callers.regenerate_caller_key(self._workspace.address, self.name, name, grace_seconds=grace_seconds)
        return str((self._call(request))["key"])

    def revoke_caller(self, name: str) -> None:
        """Revoke a caller. On return its key opens nothing."""
        self._call(callers.revoke_caller(self._workspace.address, self.name, name))

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

    def _call(self, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = self._workspace.call(request)
        return answer
