"""The asyncio shell, on aiohttp: `AsyncWorkspace` and `AsyncWebservice`. It carries out what `operation` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
from yarl import URL

from gateway.client import address, operation, scoring
from gateway.client.error import UnreachableError, advice
from gateway.client.message import USER_AGENT, Answer, Dialogue, Pause, Request, Result
from gateway.client.service import ServiceFields

AsyncWebservices: TypeAlias = "list[AsyncWebservice]"


class AsyncWorkspace(address.Located):
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
        super().__init__(admin_url, credential, ca_file)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_seconds, sock_read=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, request: Request) -> Any:
        """One operation of the admin API: its JSON answer as it came."""
        return await self.converse(operation.call(request))

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
        """Close kept connections. The workspace can be used again."""
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
            raise UnreachableError(step.url, error, advice(step.url, error, self.address.ca_file)) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=address.tls_context(self.address.ca_file)),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"accept-encoding": "identity", "user-agent": USER_AGENT},
            )
        return self._session


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

    async def regen_key(self, key: str, set_key: str | None = None) -> str:
        """A new `Primary` or `Secondary` key: random, or `set_key`. Gives its value; the old one opens nothing more."""
        return await self._workspace.converse(self._credentials.regenerate(key, set_key))

    async def get_token(self) -> tuple[str, datetime]:
        """A new token, and the time (timezone-aware) from which to ask for the next; it lives longer than that."""
        return await self._workspace.converse(self._credentials.token())

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
