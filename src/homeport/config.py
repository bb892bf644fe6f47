"""Every setting: type, default, unit, reason. Order of strength: defaults < homeport.toml in the data folder <
environment (HOMEPORT_...) < command-line options.
"""

from __future__ import annotations

import dataclasses
import json
import os
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
from homeport.kernel.limits import QUOTA_BOUNDS, Quotas
from homeport.outbound.addresses import networks
from homeport.wire.modes import DownloadMode

FILE = "homeport.toml"


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
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Form of log lines: console on a terminal, else json."
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on 127.0.0.1 for Prometheus metrics; 0 is off; one more per worker.",
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

    Errors: pydantic.ValidationError, tomllib.TOMLDecodeError.
    """
    given = {name: value for name, value in options.items() if value is not None}
    settings = Settings(**given)
    file = settings.data / FILE
    if not file.exists():
        return settings
    stated = tomllib.loads(file.read_text())
    unset = {name: value for name, value in stated.items() if name not in settings.model_fields_set}
    return Settings(**unset, **given)


def write(settings: Settings) -> None:
    """Write what must not change from one start to the next into the data folder."""
    text = (
        "# Homeport: settings of this data folder. Environment (HOMEPORT_...) and options win over them.\n"
        f'account = "{settings.account}"\nregion = "{settings.region}"\n'
    )
    if settings.database is not None:
        text += f"database = {json.dumps(settings.database)}\n"
    # The file marks a complete folder, so it must appear whole or not at all.
    draft = settings.data / f"{FILE}.new"
    draft.touch(mode=0o600)  # an address may contain a password
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(settings.data / FILE)
