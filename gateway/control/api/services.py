"""Operations on services: list, show, make, change, delete, status."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from gateway.control.api.audit import entry
from gateway.control.api.body import answer, merge, parsed, read_json
from gateway.control.api.operation import BASE
from gateway.control.api.page import Page
from gateway.control.api.problem import GRANTS
from gateway.control.api.view import SPEC, View, as_configured
from gateway.control.catalog import Catalog
from gateway.control.link import Link
from gateway.control.refusal import Fault, Refused
from gateway.control.service import Service
from gateway.core.spec import ServiceName, ServiceSpec

_NAME = TypeAdapter(ServiceName)


class ServiceOperations:
    """Handlers; what they raise as `Refused` becomes a problem document."""

    def __init__(self, catalog: Catalog, view: View, link: Link) -> None:
        self._catalog = catalog
        self._view = view
        self._link = link

    async def list(self, request: web.Request) -> web.Response:
        """One page of services by name: those that the caller may read."""
        page = Page.of(request, "list_services")
        wanted = (name for name, service in self._catalog.services.items() if _wanted(request, service))
        names, following = page.cut(wanted)
        shown = [self._view.service(self._catalog.get(name), request.headers) for name in names]
        return answer({"value": shown, **following})

    async def get(self, request: web.Request) -> web.Response:
        """One service."""
        return self._service(request, self._catalog.get(request.match_info["name"]))

    async def put(self, request: web.Request) -> web.Response:
        """Make or replace a service."""
        name = _valid_name(request.match_info["name"])
        spec = parsed(SPEC, await read_json(request))
        check = _precondition(request)

        def change(before: Service | None) -> ServiceSpec:
            check(before)
            return spec

        service, is_new = await self._catalog.put(name, change, audit=entry(request))
        return self._service(request, service, status=201 if is_new else 200)

    async def patch(self, request: web.Request) -> web.Response:
        """Merge into a service. The result must be a whole service again."""
        name = request.match_info["name"]
        patch = from_json(await read_json(request))
        if not isinstance(patch, dict):
            raise Refused(400, "A merge patch of a service is a JSON object.", (Fault("", "should be an object"),))
        check = _precondition(request)

        def change(before: Service | None) -> ServiceSpec:
            service = before or self._catalog.get(name)
            check(service)
            return parsed(SPEC, to_json(merge(as_configured(service.spec), patch)))

        service, _ = await self._catalog.put(name, change, audit=entry(request))
        return self._service(request, service)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a service."""
        await self._catalog.delete(request.match_info["name"], _precondition(request), audit=entry(request))
        return web.Response(status=204)

    async def status(self, request: web.Request) -> web.Response:
        """Health and load of a service, by the workers' counts of this moment."""
        self._catalog.get(request.match_info["name"])
        counted = await self._link.collect()
        return answer(self._view.status(self._catalog.get(request.match_info["name"]), counted))

    def _service(self, request: web.Request, service: Service, status: int = 200) -> web.Response:
        headers = {"ETag": service.etag}
        if status == 201:
            headers["Location"] = f"{BASE}/services/{service.name}"
        return answer(self._view.service(service, request.headers), status=status, headers=headers)


def _wanted(request: web.Request, service: Service) -> bool:
    if not request[GRANTS].allow("reader", service.name):
        return False
    tags = service.spec.tags
    for asked in request.query.getall("tag", []):
        key, given, value = asked.partition("=")
        if key not in tags or (given and tags[key] != value):
            return False
    return request.query.get("name", "") in service.name


def _valid_name(name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        reason = "should be 3 to 32 of a-z, 0-9 and -, begin with a letter and not end with -"
        raise Refused(400, f"The name of a service {reason}.", (Fault("name", reason),)) from None


def _precondition(request: web.Request) -> Callable[[Service | None], None]:
    """Raises Refused (412) unless If-Match and If-None-Match (RFC 9110 section 13.1) hold for a service."""
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")

    def check(service: Service | None) -> None:
        if wanted is not None and not _names(wanted, service):
            raise Refused(412, "The service is not the one that If-Match names: read it again, somebody changed it.")
        if unwanted is not None and _names(unwanted, service):
            raise Refused(412, "If-None-Match: there is such a service already.")

    return check


def _names(field: str, service: Service | None) -> bool:
    if service is None:
        return False
    return field.strip() == "*" or service.etag in [tag.strip() for tag in field.split(",")]
