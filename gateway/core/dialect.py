"""How failures look on the wire: Azure's AKS front end, Azure's managed endpoints, or plain HTTP.

Only failures of the model, the queue and the deadline differ by dialect; refusals of credentials and limits do not.
"""

from __future__ import annotations

from gateway.core.problem import TEXT, Headers, Reply
from gateway.core.spec import ErrorDialect

RETRY_SOON: Headers = ((b"retry-after", b"1"),)


def model_status(dialect: ErrorDialect, status: int) -> tuple[int, Headers]:
    """The status a client sees for a model's answer, and the fields that tell the real one."""
    if dialect == "aks" and status == 500:
        # A 500 that an AKS client sees is the front end's own.
        return 502, ()
    if dialect == "managed" and status != 200:
        return 424, (
            (b"ms-azureml-model-error-statuscode", str(status).encode()),
            (b"ms-azureml-model-error-reason", b"model_error"),
        )
    return status, ()


def queue_full(dialect: ErrorDialect, service: str, reason: str, stage: str) -> Reply:
    """Every container is busy and the queue is full (`queue_full`), or the wait in it was too long (`queue_wait`)."""
    detail = f"Every container of {service} is busy: try again shortly, or give the service more containers."
    if dialect == "aks":
        return Reply(
            503,
            reason,
            headers=RETRY_SOON,
            body=f"Too many requests for service {service} (overloaded)".encode(),
            content_type=TEXT,
            stage=stage,
        )
    status = 429 if dialect == "managed" else 503
    return Reply(status, reason, detail, stage, RETRY_SOON)


def no_backend(dialect: ErrorDialect, service: str) -> Reply:
    """No container is up. Nothing was sent anywhere, so a retry is safe."""
    detail = f"No container of {service} can be reached. Its owner sees which, and why, in the status of the service."
    if dialect == "aks":
        return Reply(
            503,
            "no_backend",
            headers=RETRY_SOON,
            body=f"No ready replicas for service {service}".encode(),
            content_type=TEXT,
            stage="connect",
        )
    return Reply(503, "no_backend", detail, "connect", RETRY_SOON)


def backend_failed(kind: str, stage: str) -> Reply:
    """The container broke the connection or the protocol after the request was sent: it may have been computed."""
    return Reply(502, f"backend_{kind}", "The container failed before it had answered.", stage)


def timed_out(dialect: ErrorDialect, milliseconds: int, stage: str) -> Reply:
    """The one deadline passed, in `stage`."""
    status = 408 if dialect == "managed" else 504
    detail = f"No answer within scoring_timeout_ms ({milliseconds} ms); the time ran out in stage {stage}."
    return Reply(status, "timeout", detail, stage, closes=status == 408)
