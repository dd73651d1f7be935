"""What the demo prints when everything listens: addresses, keys, and lines to copy."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from gateway.demo.configuration import SERVICE

ROWS = json.dumps(json.loads((Path(__file__).parent / "two_rows.json").read_text(encoding="utf-8")))
"""The two-row document that every example sends, as JSON text."""


def text(ready: dict[str, Any]) -> str:
    """The guide, from what the ready file says (its keys included)."""
    service = ready["services"][SERVICE]
    return "\n".join(
        [_addresses(ready, service), _curl(ready, service), _python(ready, service), _trust(ready["ca_file"])]
    )


def _addresses(ready: dict[str, Any], service: dict[str, str]) -> str:
    return f"""
  scoring URL     {service["scoring_uri"]}
  primary key     {service["primary_key"]}
  secondary key   {service["secondary_key"]}
  portal          {ready["portal_url"]}
  admin API       {ready["admin_url"]}/v1/services   (bearer: {ready["admin_token_file"]})
  metrics         {ready["metrics_url"]}/metrics
  CA certificate  {ready["ca_file"]}
"""


def _curl(ready: dict[str, Any], service: dict[str, str]) -> str:
    return f"""\
Score two rows with curl:

  curl --cacert {shlex.quote(ready["ca_file"])} -H 'Authorization: Bearer {service["primary_key"]}' \\
    -H 'Content-Type: application/json' -d '{ROWS}' {service["scoring_uri"]}
"""


def _python(ready: dict[str, Any], service: dict[str, str]) -> str:
    return f"""\
or with Python:

  import requests
  rows = {ROWS}
  answer = requests.post("{service["scoring_uri"]}", json=rows, verify={ready["ca_file"]!r},
                         headers={{"Authorization": "Bearer {service["primary_key"]}"}}, timeout=10)
  print(answer.text)
"""


def _trust(path: str) -> str:
    ca_file = shlex.quote(path)
    return f"""\
Clients must trust the development CA. Set, or add:

  curl    --cacert {ca_file}
  Python  REQUESTS_CA_BUNDLE={ca_file}
  Go      SSL_CERT_FILE={ca_file}
  Java    keytool -importcert -noprompt -alias scoregate -file {ca_file} -keystore scoregate.p12 -storepass changeit
          java -Djavax.net.ssl.trustStore=scoregate.p12 -Djavax.net.ssl.trustStorePassword=changeit ...
  C#      .NET: SSL_CERT_FILE={ca_file}
          Mono: cert-sync --user {ca_file}   and call localhost, since Mono compares names only
  R       curl::new_handle(cainfo = "{path}") or httr::config(cainfo = "{path}")
"""
