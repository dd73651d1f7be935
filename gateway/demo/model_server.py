"""A small model server with the answers of the Azure ML one, for where that cannot be installed.

    python -m gateway.demo.model_server --entry-script score.py --port 5001

It knows entry scripts whose `run(raw)` takes the body as text; one request is scored at a time, as there. What each
route answers was observed on azureml-inference-server-http 1.5.1.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from aiohttp import web

from gateway.demo import swagger
from gateway.demo.aml_response import AMLResponse
from gateway.demo.ports import HOST

_LONGEST_ID = 100
_EXIT_INIT_FAILED = 3  # what the Azure server ends with when the entry script does not load
_FORM = "application/x-www-form-urlencoded"
_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def load(entry_script: Path) -> ModuleType:
    """The entry script as a module, after its `init()`. Whatever it raises passes through."""
    spec = importlib.util.spec_from_file_location("entry_module", entry_script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{entry_script} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init()
    return module


def application(run: Callable[[str], Any], service: str) -> web.Application:
    """The routes around `run`; `service` is the title of the swagger document."""
    scorer = _Scorer(run)
    app = web.Application(middlewares=[_errors_as_json, _ids], client_max_size=100 * 1024 * 1024)
    app.router.add_get("/", _healthy)
    app.router.add_get("/swagger.json", _swagger(service))
    app.router.add_post("/score", scorer.post)
    app.router.add_get("/score", scorer.get)
    app.router.add_options("/score", _options)
    return app


class _Scorer:
    def __init__(self, run: Callable[[str], Any]) -> None:
        self._run = run
        self._one_at_a_time = asyncio.Lock()

    async def post(self, request: web.Request) -> web.Response:
        # The Azure server hands an empty text to run() for forms, curl's default with -d.
        body = b"" if request.content_type == _FORM else await request.read()
        try:
            return await self._score(body.decode())
        except UnicodeDecodeError as error:
            return _message(400, f"Input cannot be decoded as UTF-8: {error}")

    async def get(self, request: web.Request) -> web.Response:
        values = {name: [_parsed(value) for value in request.query.getall(name)] for name in request.query}
        return await self._score(json.dumps({name: v[0] if len(v) == 1 else v for name, v in values.items()}))

    async def _score(self, raw: str) -> web.Response:
        start = time.perf_counter()
        try:
            async with self._one_at_a_time:
                result = await asyncio.to_thread(self._run, raw)
            response = _answer(result)
        except Exception:  # noqa: BLE001 - an entry script may raise anything
            _log.exception("run() failed")
            text = "An unexpected error occurred in scoring script. Check the logs for more info."
            return _message(500, text, run_failed=True)
        response.headers["x-ms-run-fn-exec-ms"] = f"{(time.perf_counter() - start) * 1e3:.3f}"
        return response


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="Healthy", content_type="text/html", charset="utf-8")


async def _options(_request: web.Request) -> web.Response:
    return web.Response(content_type="text/html", charset="utf-8", headers=_run_failed(failed=False))


def _swagger(service: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        version = request.query.get("version", "2")
        document = swagger.document(version, service)
        if document is None:
            return _message(404, f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1].")
        return _json(200, document)

    return handler


def _answer(result: Any) -> web.Response:
    if not isinstance(result, AMLResponse):
        return _json(200, result)
    failed = result.status_code >= 500
    if result.json_str:
        response = _json(result.status_code, result.message, run_failed=failed)
    else:
        body = result.message.encode() if isinstance(result.message, str) else result.message
        response = web.Response(status=result.status_code, body=body, headers=_run_failed(failed))
    response.headers.update(result.response_headers)
    return response


def _message(status: int, text: str, *, run_failed: bool = False) -> web.Response:
    return _json(status, {"message": text}, run_failed=run_failed)


def _json(status: int, value: Any, *, run_failed: bool = False) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(value).encode(), content_type="application/json", headers=_run_failed(run_failed)
    )


def _run_failed(failed: bool) -> Mapping[str, str]:
    return {"x-ms-run-function-failed": str(failed)}


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _message(error.status, error.reason)


@web.middleware
async def _ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.match_info.http_exception is not None:
        return await handler(request)
    given = _echoed(request.headers)
    ids = {name: value for name, value in given.items() if len(value) <= _LONGEST_ID or name == "TraceId"}
    response = await handler(request) if ids == given else _ids_too_long("x-request-id" not in ids)
    response.headers.update(ids | {"x-ms-server-version": "scoregate-demo"})
    return response


def _ids_too_long(request_id: bool) -> web.Response:
    names = "x-request-id" if request_id else "x-ms-request-id and x-ms-client-request-id"
    return _message(431, f"{names} must not exceed {_LONGEST_ID} characters")


def _echoed(headers: Mapping[str, str]) -> dict[str, str]:
    request_id = headers.get("x-request-id") or str(uuid.uuid4())
    client_id = headers.get("x-ms-client-request-id") or headers.get("x-ms-request-id")
    ids = {"x-request-id": request_id, "x-ms-request-id": headers.get("x-ms-request-id") or client_id or request_id}
    if client_id:
        ids["x-ms-client-request-id"] = client_id
    if "TraceId" in headers:
        ids["TraceId"] = headers["TraceId"]
    return ids


def main() -> None:
    """Serve one entry script on loopback until a signal."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.model_server")
    parser.add_argument("--entry-script", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--service-name", default="ML service")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    try:
        script = load(options.entry_script)
    except Exception:  # noqa: BLE001 - as above
        _log.exception("%s cannot be loaded", options.entry_script)
        sys.exit(_EXIT_INIT_FAILED)
    web.run_app(application(script.run, options.service_name), host=HOST, port=options.port, print=None)


if __name__ == "__main__":
    main()
