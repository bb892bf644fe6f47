"""Every setting: type, default, unit, reason. Order of strength: defaults < homeport.toml in the data folder <
files that the environment names (HOMEPORT_..._FILE) < environment (HOMEPORT_...) < command-line options.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from homeport.access.attempts import brake_from_text
from homeport.access.rates import rates_from_text
from homeport.blobs import faulty as faulty_blobs
from homeport.blobs.s3_place import checked_url
from homeport.database import faulty as faulty_database
from homeport.kernel.durable import flush_folder, replace_text
from homeport.kernel.limits import QUOTA_BOUNDS, Quotas
from homeport.outbound.addresses import networks
from homeport.wire.modes import DownloadMode

FILE = "homeport.toml"
_DIFFERENT = 12  # characters that 40 random ones have in all likelihood, and a placeholder has not


def _listed(value: Any) -> Any:
    """A comma-separated text is a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _plan(parse: Callable[[str], object]) -> Callable[[str], str]:
    """A check that a text is a plan of faults; the text itself stays the value."""

    def check(text: str) -> str:
        parse(text)
        return text

    return check


def _networks(values: list[str]) -> list[str]:
    """A check that each text is a network; the texts themselves stay the value."""
    networks(values)
    return values


def _storage(value: str | None) -> str | None:
    """A check that a text is a place in an object store; the text itself stays the value."""
    return checked_url(value) if value is not None else None


def _database(value: str | None) -> str | None:
    """A check that a text is the address of a PostgreSQL database; what is wrong is said without its password."""
    if value is not None and not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("an address begins with postgresql://")
    return value


def _chosen_key_id(value: str | None) -> str | None:
    """A check that a text is an access key id as the registry makes them."""
    if value is not None and not re.fullmatch(r"AKIA[A-Z0-9]{16}", value, re.ASCII):
        raise ValueError("an access key id is AKIA and sixteen capital letters or digits")
    return value


def _chosen_secret(value: str | None) -> str | None:
    """A check that a text can be the secret of an access key; what is wrong is said without it."""
    if value is not None and (
        not re.fullmatch(r"[A-Za-z0-9/+=_-]{40,128}", value, re.ASCII) or len(set(value)) < _DIFFERENT
    ):
        raise ValueError("a secret has 40 to 128 random letters, digits and /+=_-: openssl rand -base64 30")
    return value


def _node(value: str | None) -> str | None:
    """A check that a text can name a node in a line of a log."""
    if value is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", value, re.ASCII):
        raise ValueError("a node's name has letters, digits, dots, dashes and underscores")
    return value


def _quotas(value: Any) -> Any:
    """Quotas by name, from a table or from `name=number, ...`; those that are not named keep ECR's value."""
    if isinstance(value, str):
        value = dict(part.split("=", 1) if "=" in part else (part, "") for part in _listed(value))
    if not isinstance(value, dict):
        return value
    known = {field.name for field in dataclasses.fields(Quotas)}
    for name, number in value.items():
        if name.strip() not in known:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(known))}")
        if isinstance(number, bool) or not str(number).strip().isdecimal():
            raise ValueError(f"{name} must be a whole number, not {number!r}")
        most = QUOTA_BOUNDS.get(name.strip())
        if most is not None and int(number) > most:
            raise ValueError(f"{name} can be at most {most}, which is what the API takes")
    return Quotas(**{name.strip(): int(number) for name, number in value.items()})


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix="HOMEPORT_", extra="forbid", frozen=True)

    data: Path = Field(Path("data"), description="Folder of metadata, blobs and keys.")
    archive: Path | None = Field(
        None,
        description="Folder for the bytes of archived images, also on another disk; default: archive in the data "
        "folder. To change it later, stop the server and move the folder along.",
    )
    storage: Annotated[str | None, AfterValidator(_storage)] = Field(
        None,
        description="Where blobs lie instead of in the data folder, so that any number of nodes share them: "
        "s3://BUCKET/PREFIX?endpoint=URL&region=NAME, also with class= and archive_class= for S3's storage classes and "
        "addressing=path or virtual. Everything after the bucket may be left out.",
    )
    archive_storage: Annotated[str | None, AfterValidator(_storage)] = Field(
        None,
        description="The same for the bytes of archived images, when they belong in another bucket than those of "
        "`storage`.",
    )
    storage_access_key_id: str | None = Field(
        None,
        description="Who the object store takes this process for; by default found as the AWS command line finds it.",
    )
    storage_secret_access_key: str | None = Field(
        None, repr=False, description="The secret of that key. Better in the environment than in a file."
    )
    database: Annotated[str | None, AfterValidator(_database)] = Field(
        None,
        description="Address of a PostgreSQL database for metadata, such as postgresql://homeport@db.example/homeport, "
        "which any number of nodes share; default: SQLite in the data folder. A password may be in the address, or in "
        "PGPASSWORD or PGPASSFILE.",
    )
    database_connections: int = Field(
        8,
        ge=2,
        le=1000,
        description="Connections of one process to a PostgreSQL database, at most; and one to watch it.",
    )
    migrate: bool = Field(
        False,
        description="Bring a PostgreSQL database to this program's schema at the start; else `homeport migrate` does.",
    )
    master_key_file: Path | None = Field(
        None,
        description="File of the master key, such as a secret that a container is given; default: master.key in the "
        "data folder.",
    )
    administrator_access_key_id: Annotated[str | None, AfterValidator(_chosen_key_id)] = Field(
        None,
        description="At the first start, the id of the administrator's first access key: AKIA and sixteen capital "
        "letters or digits. By default one is made up and printed once.",
    )
    administrator_secret_access_key: Annotated[str | None, AfterValidator(_chosen_secret)] = Field(
        None,
        repr=False,
        description="The secret of that key, such as `openssl rand -base64 30` prints; never a word that a person "
        "would think of.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless you choose otherwise.")
    port: int = Field(5000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    region: str = Field("us-east-1", description="Name of the region this process serves.")
    account: str | None = Field(
        None, description="Default account, twelve digits; made up at the first start."
    )
    host_suffixes: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=lambda: ["localhost"],
        description="Domains under which <account>.dkr.ecr.<region>.<suffix> names a registry; comma-separated.",
    )
    tls_certificate: Path | None = Field(None, description="PEM file of the certificate chain; serves HTTPS.")
    tls_key: Path | None = Field(None, description="PEM file of the private key.")
    workers: int = Field(1, ge=1, le=64, description="Processes that serve the same data folder.")
    nodes: int = Field(
        1,
        ge=1,
        le=1000,
        description="How many nodes serve this registry: each allows its share of request rates and of failed "
        "sign-ins.",
    )
    node: Annotated[str | None, AfterValidator(_node)] = Field(
        None,
        description="Name of this node in its log lines; default: the host's name where `database` is set, else none.",
    )
    trusted_proxies: Annotated[list[str], NoDecode, BeforeValidator(_listed), AfterValidator(_networks)] = (
        Field(
            default_factory=list,
            description="Networks of load balancers in front, such as 10.1.0.0/24; comma-separated. Only their "
            "X-Forwarded-For and X-Forwarded-Proto are believed, so they must set both.",
        )
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Form of log lines: console on a terminal, else json."
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port for Prometheus metrics; 0 is off; one more per worker.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address on which metrics are served; they need no credentials."
    )
    download_mode: DownloadMode = Field(
        DownloadMode.AUTO,
        description="How blobs are sent: sendfile (least CPU), copy (best for clients on this host), auto, or "
        "redirect: the client fetches them from the object store that `storage` names.",
    )
    quotas: Annotated[Quotas, NoDecode, BeforeValidator(_quotas)] = Field(
        default_factory=Quotas,
        description="How much a registry takes where not what ECR allows, such as images_per_repository=500; "
        f"comma-separated. Names: {', '.join(field.name for field in dataclasses.fields(Quotas))}.",
    )
    lifecycle_interval: int = Field(
        3600,
        ge=0,
        le=31_536_000,
        description="Seconds between two runs of all lifecycle policies; 0 is off: then they act only when told to.",
    )
    lifecycle_clock_offset: int = Field(
        0,
        ge=0,
        le=3_153_600_000,
        description="Seconds by which lifecycle rules and the recovery of deleted images see the clock ahead, to "
        "rehearse what a policy will do. It does delete what is old enough by then.",
    )
    collection_delay: float = Field(
        86_400,
        ge=0,
        le=31_536_000,
        allow_inf_nan=False,
        description="Seconds that a layer is kept which no image refers to any more, or yet: how long a push may take "
        "from its first layer to its manifest.",
    )
    collection_interval: int = Field(
        300,
        ge=0,
        le=31_536_000,
        description="Seconds between two collections of unreferenced layers; 0 is off: then only `homeport gc` frees "
        "space.",
    )
    job_lease: float = Field(
        30,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Seconds after which work in the background is taken over from a process that does not go on with "
        "it, because it died or its machine stands still.",
    )
    storage_price: float = Field(
        0.10,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="Dollars for a GB-month of storage, by which the savings of a lifecycle policy are told.",
    )
    throttling: Annotated[str, AfterValidator(_plan(rates_from_text))] = Field(
        "off",
        description="Request rates: off, ecr, ecr-public, and ACTION=RATE or ACTION=RATE/BURST a second; "
        "comma-separated, later ones win.",
    )
    authentication_throttling: Annotated[str, AfterValidator(_plan(brake_from_text))] = Field(
        "20/3",
        description="How often one address or principal may fail to authenticate before it is told to wait: "
        "BURST/SECONDS, so many failures at once and then one every so many seconds; or off. Good credentials "
        "always pass.",
    )
    outbound_allow: Annotated[list[str], NoDecode, BeforeValidator(_listed), AfterValidator(_networks)] = (
        Field(
            default_factory=list,
            description="Private or loopback networks that may be connected to, such as 10.2.0.0/16; comma-separated. "
            "Public addresses always may.",
        )
    )
    outbound_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that vouch for other servers; by default the system's."
    )
    scrub_days: float = Field(
        30,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which stored bytes are read again and compared with their digest; 0 is off.",
    )
    scrub_rate: int = Field(
        20 * 1024 * 1024,
        ge=64 * 1024,
        description="Bytes a second that are read for it at most, so that pulls are not slowed down.",
    )
    drain_notice_seconds: float = Field(
        0,
        ge=0,
        le=600,
        allow_inf_nan=False,
        description="How long after SIGTERM a node still takes new connections while /readyz says that it is about to "
        "stop: what a load balancer needs to notice.",
    )
    drain_seconds: int = Field(60, ge=0, description="How long transfers under way may take after SIGTERM.")
    blob_faults: Annotated[str, AfterValidator(_plan(faulty_blobs.faults_from_text))] = Field(
        "", description="For fault tests: failures to inject, see blobs/faulty.py."
    )
    database_faults: Annotated[str, AfterValidator(_plan(faulty_database.faults_from_text))] = Field(
        "", description="For fault tests: failures to inject, see database/faulty.py."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment; `load` adds what the file says below both."""
        return init_settings, env_settings


def load(**options: Any) -> Settings:
    """Return the settings from `options` (None means not given), environment and the data folder's file.

    Errors: pydantic.ValidationError, tomllib.TOMLDecodeError, OSError.
    """
    given = {name: value for name, value in options.items() if value is not None}
    given = _from_files(given) | given
    settings = Settings(**given)
    file = settings.data / FILE
    if not file.exists():
        return settings
    stated = tomllib.loads(file.read_text())
    unset = {name: value for name, value in stated.items() if name not in settings.model_fields_set}
    return Settings(**unset, **given)


def _from_files(given: dict[str, Any]) -> dict[str, str]:
    """Return the settings whose values lie in files, as containers get their secrets: HOMEPORT_DATABASE_FILE=/path.

    What is also given itself, as an option or in the environment, is not read. Errors: OSError, UnicodeDecodeError.
    """
    found = {}
    for name in Settings.model_fields:
        variable = f"HOMEPORT_{name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if path and name not in given and variable not in os.environ:
            found[name] = Path(path).read_text().strip()
    return found


def write(settings: Settings) -> None:
    """Write what must not change from one start to the next into the data folder."""
    text = (
        "# Homeport: settings of this data folder. Environment (HOMEPORT_...) and options win over them.\n"
        f'account = "{settings.account}"\nregion = "{settings.region}"\n'
    )
    for name in ("database", "storage", "archive_storage"):
        if (place := getattr(settings, name)) is not None:
            text += f"{name} = {json.dumps(place)}\n"
    # The file marks a complete folder, so it must appear whole or not at all.
    replace_text(settings.data / FILE, text)
    for folder in (settings.data, settings.data.resolve().parent):  # the names, too
        with contextlib.suppress(PermissionError):  # somebody else's folder, such as the root of a container
            flush_folder(folder)
