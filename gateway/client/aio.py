"""The asyncio shell, on aiohttp: `AsyncWorkspace` and `AsyncWebservice`. It carries out what `operation` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
from yarl import URL

from gateway.client import address, callers, keys, operation, scoring, tokens
from gateway.client.callers import Documents
from gateway.client.error import UnreachableError, advice
from gateway.client.message import USER_AGENT, Answer, Dialogue, Pause, Request, Result
from gateway.client.service import ServiceFields

AsyncWebservices: TypeAlias = "list[AsyncWebservice]"


class AsyncConversation:
    """Carries dialogues out, over connections that are kept."""

    def __init__(self, ca_file: str | None, timeout_seconds: float) -> None:
        self._ca_file = ca_file
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_seconds, sock_read=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def converse(self, dialogue: Dialogue[Result]) -> Result:
        """Carry a dialogue out."""
        try:
            step = next(dialogue)
            while True:
                try:
                    answer = await self._perform(step)
                except UnreachableError as error:
                    step = dialogue.throw(error)
                else:
                    step = dialogue.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def close(self) -> None:
        """Close kept connections. It can be used again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _perform(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return await _exchange(self._opened(), step)
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(step.url, error, advice(step.url, error, self._ca_file)) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=address.tls_context(self._ca_file)),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"accept-encoding": "identity", "user-agent": USER_AGENT},
            )
        return self._session


class AsyncWorkspace(address.Located, AsyncConversation):
    """A gateway, seen through its admin API. Use it with `async with`, or `await close()` it.

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
        AsyncConversation.__init__(self, ca_file, timeout_seconds)

    async def call(self, request: Request) -> Any:
        """One operation of the admin API: its JSON answer as it came."""
        return await self.converse(operation.call(request))


class AsyncScoringClient(AsyncConversation):
    """Scores at one service with a credential that may do nothing else; see `ScoringClient`."""

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
        return f"AsyncScoringClient({self.scoring_uri!r})"

    async def get_token(self) -> tuple[str, datetime]:
        """A new token, and the time (timezone-aware) from which to ask for the next; `run` does both by itself."""
        return await self.converse(self._exchanged.token())

    async def run(self, data: Any, content_type: str = "application/json") -> Any:
        """Score once, as `AsyncWebservice.run`. Raises ScoringError, RefusedError, UnreachableError."""
        service = {"scoring_uri": self.scoring_uri}
        return await self.converse(scoring.run(self._exchanged, service, data, content_type))


class AsyncWebservice(ServiceFields):
    """One service; get it with `await AsyncWebservice.get(workspace, name)`."""

    def __init__(self, workspace: AsyncWorkspace, document: Mapping[str, Any]) -> None:
        self._workspace = workspace
        self.document = document
        self._credentials = scoring.Credentials(workspace.address, self.name)

    @classmethod
    async def get(cls, workspace: AsyncWorkspace, name: str) -> Self:
        """The service of this name. Raises WebserviceNotFound."""
        return cls(workspace, await workspace.call(operation.get_service(workspace.address, name)))

    @classmethod
    async def list(
        cls, workspace: AsyncWorkspace, compute_type: str | None = None, *, tags: operation.Tags | None = None
    ) -> AsyncWebservices:
        """Every service with these tags (`{"team": "risk"}`, or names and [name, value] pairs) and compute type."""
        documents = await workspace.converse(operation.every_service(workspace.address, tags=tags))
        return [
            cls(workspace, document)
            for document in documents
            if compute_type is None or document["compute_type"] == compute_type
        ]

    @classmethod
    async def create(cls, workspace: AsyncWorkspace, name: str, **block: Any) -> Self:
        """Make a service, or replace the one of this name. `block`: keys of `services.<name>` in gateway.yaml."""
        return cls(workspace, await workspace.call(operation.put_service(workspace.address, name, block)))

    async def refresh(self) -> None:
        """Read the service's fields again."""
        self.document = await self._workspace.call(operation.get_service(self._workspace.address, self.name))

    async def update(self, **block: Any) -> None:
        """Change what is named, leave the rest. None takes a key back to its default; nested keys are merged."""
        self.document = await self._workspace.call(operation.patch_service(self._workspace.address, self.name, block))

    async def delete(self) -> None:
        """Delete the service and its keys."""
        await self._workspace.call(operation.delete_service(self._workspace.address, self.name))

    async def get_keys(self) -> tuple[str, str]:
        """(primary, secondary), read anew."""
        return await self._workspace.converse(self._credentials.keys())

    async def regen_key(
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
        return await self._workspace.converse(self._credentials.regenerate(key, set_key, grace_seconds, expires_at))

    async def expire_key(self, key: str, expires_at: datetime | None) -> None:
        """Let the `Primary` or `Secondary` key end then (None: never). On return every worker knows."""
        request = keys.patch_key(self._workspace.address, self.name, keys.slot_named(key), expires_at=expires_at)
        await self._workspace.call(request)

    async def key_slots(self) -> dict[str, Any]:
        """How both keys are used, by slot, without them: `last_used_at`, `uses_24h`, `safe_to_regenerate`, `advice`."""
        return await self._workspace.converse(keys.slots(self._workspace.address, self.name))

    async def get_token(self) -> tuple[str, datetime]:
        """A new token, and the time (timezone-aware) from which to ask for the next; it lives longer than that."""
        return await self._workspace.converse(self._credentials.token())

    async def revoke_tokens(self, jti: str | None = None, subject: str | None = None) -> dict[str, Any]:
        """End one token (its `jti`), those of a subject, or all there are. On return no worker opens to them."""
        return await self._call(tokens.revoke_tokens(self._workspace.address, self.name, jti=jti, subject=subject))

    async def callers(self) -> Documents:
        """Every named caller of the service, without its key: `name`, `verbs`, `rate_limits`, `expires_at`, uses."""
        return await self._workspace.converse(callers.every_caller(self._workspace.address, self.name))

    async def caller(self, name: str) -> dict[str, Any]:
        """One named caller; `key` is None where the gateway shows keys once only. Raises RefusedError (404)."""
        return await self._call(callers.get_caller(self._workspace.address, self.name, name))

    async def create_caller(self, name: str, **block: Any) -> dict[str, Any]:
        """Give a customer a key of its own, in `key`. `block`: `verbs`, `expires_at` (a datetime), `rate_limits`."""
        return await self._call(callers.create_caller(self._workspace.address, self.name, name, block))

    async def update_caller(self, name: str, **block: Any) -> dict[str, Any]:
        """Change what is named, leave the rest; None takes a field back to its default. The key stays."""
        return await self._call(callers.patch_caller(self._workspace.address, self.name, name, block))

    async def regen_caller_key(self, name: str, grace_seconds: int | None = None) -> str:
        """A new key for a caller; the one before opens for so long (None: as configured). Gives its value."""
        request = callers.regenerate_caller_key(self._workspace.address, self.name, name, grace_seconds=grace_seconds)
        return str((await self._call(request))["key"])

    async def revoke_caller(self, name: str) -> None:
        """Revoke a caller. On return its key opens nothing."""
        await self._call(callers.revoke_caller(self._workspace.address, self.name, name))

    async def run(self, data: Any, content_type: str = "application/json") -> Any:
        """Score once. `data`: text or bytes as they are, anything else as JSON.

        Gives the JSON value, or bytes when the answer is no JSON. Raises ScoringError, UnreachableError.
        """
        return await self._workspace.converse(scoring.run(self._credentials, self.document, data, content_type))

    async def status(self) -> dict[str, Any]:
        """State, deployments with their backends, queue and utilization: the answer of the status operation."""
        status: dict[str, Any] = await self._workspace.call(operation.get_status(self._workspace.address, self.name))
        return status

    async def get_logs(self) -> str:
        """The present status as lines of text. A gateway keeps no model's output: read that where the model runs."""
        return operation.status_text(self.name, await self.status())

    async def wait_for_deployment(
        self, show_output: bool = False, timeout_seconds: float = operation.DEPLOYMENT_TIMEOUT_SECONDS
    ) -> None:
        """Return when the service is healthy. Raises DeploymentTimeoutError. `show_output`: tell changes on stdout."""
        await self._workspace.converse(
            operation.until_healthy(
                self._workspace.address, self.name, timeout_seconds=timeout_seconds, show=print if show_output else None
            )
        )
        await self.refresh()

    async def _call(self, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = await self._workspace.call(request)
        return answer


async def _exchange(session: aiohttp.ClientSession, request: Request) -> Answer:
    async with session.request(
        request.method,
        URL(request.url, encoded=True),
        headers=request.headers,
        data=request.body or None,
        allow_redirects=False,
    ) as response:
        fields: dict[str, str] = {}
        for name, value in response.headers.items():
            key = name.lower()
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
        return Answer(response.status, fields, await response.read())
