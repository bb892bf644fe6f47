"""`homeport serve`: the registry itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from homeport.cli.init import first_start
from homeport.cli.join import begin_or_join
from homeport.cli.options import data_option, explained, settings
from homeport.config import Settings
from homeport.folder import is_initialised

_SHOWN = (
    "master_key_file", "host", "port", "region", "account", "storage", "archive_storage", "database",
    "database_connections", "migrate",
    "host_suffixes", "tls_certificate", "tls_key", "workers", "nodes", "node", "trusted_proxies", "log_format",
    "metrics_port", "metrics_host", "download_mode", "outbound_allow", "outbound_ca_file", "quotas",
    "lifecycle_interval",
    "lifecycle_clock_offset", "collection_delay", "collection_interval", "job_lease", "storage_price",
    "throttling", "authentication_throttling", "scrub_days", "scrub_rate", "drain_notice_seconds", "drain_seconds",
)  # fmt: skip


def _setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each setting, with its documentation from config.py."""
    for name in reversed(_SHOWN):
        field = Settings.model_fields[name]
        flag = "--host-suffix" if name == "host_suffixes" else "--" + name.replace("_", "-")
        default = (
            "localhost" if name == "host_suffixes" else field.default if not field.default_factory else None
        )
        shown = "" if default is None else f"; default: {default}"
        text = f"{field.description} [HOMEPORT_{name.upper()}{shown}]"
        if field.annotation is bool:
            command = click.option(flag, name, is_flag=True, default=None, help=text)(command)
        else:
            command = click.option(flag, name, multiple=name == "host_suffixes", help=text)(command)
    return command


@click.command()
@data_option
@_setting_options
@explained
def serve(**options: Any) -> None:
    """Serve the registry until SIGTERM or Ctrl-C; transfers under way are finished first.

    The first start makes the data folder and prints an access key, once. Where --database names one that holds a
    registry, the first start of a node that has its master key joins it.
    """
    options["host_suffixes"] = list(options["host_suffixes"]) or None
    found = settings(**options)
    if not is_initialised(found.data):
        found = begin_or_join(found) if found.database is not None else first_start(found)
        if found.administrator_access_key_id is None and found.database is None:
            _next_steps(found)
    from homeport.serving import serve as run  # not at the top: no other command needs a web server

    sys.exit(run(found))


def _next_steps(found: Settings) -> None:
    host = "localhost" if found.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else found.host  # noqa: S104
    scheme = "https" if found.tls_certificate else "http"
    endpoint = f"{scheme}://{host}:{found.port}"
    click.echo(rf"""
In another terminal (the AWS command line reads these):

  export AWS_ACCESS_KEY_ID=...  AWS_SECRET_ACCESS_KEY=...   # the two values above
  export AWS_DEFAULT_REGION={found.region}  AWS_ENDPOINT_URL={endpoint}
  aws ecr create-repository --repository-name hello --endpoint-url {endpoint}
  aws ecr get-login-password --endpoint-url {endpoint} \
    | docker login --username AWS --password-stdin {host}:{found.port}
  docker tag IMAGE {host}:{found.port}/hello:1 && docker push {host}:{found.port}/hello:1
""")
