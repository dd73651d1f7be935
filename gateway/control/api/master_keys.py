"""Operations on the master key: which files are needed, and wrapping by the newest."""

from __future__ import annotations

from aiohttp import web

from gateway.control.api.audit import entry
from gateway.control.api.body import answer
from gateway.control.master_keys import MasterKeys, MasterKeyUse


class MasterKeyOperations:
    """Handlers; what they raise as `Refused` becomes a problem document."""

    def __init__(self, master_keys: MasterKeys) -> None:
        self._master_keys = master_keys

    async def get(self, _request: web.Request) -> web.Response:
        """The master key files, and what each is needed for."""
        return answer(await self._document())

    async def rewrap(self, request: web.Request) -> web.Response:
        """The data keys wrapped by the newest master key."""
        rewrapped = await self._master_keys.rewrap(lambda target: entry(request, target=target))
        return answer({"rewrapped": rewrapped, **await self._document()})

    async def _document(self) -> dict[str, object]:
        newest, *previous = await self._master_keys.uses()
        return {**_shown(newest), "previous": [{**_shown(use), "is_needed": use.data_keys > 0} for use in previous]}


def _shown(use: MasterKeyUse) -> dict[str, object]:
    return {"id": use.file.key.id, "file": str(use.file.path), "data_keys": use.data_keys}
