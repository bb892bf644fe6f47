"""The AWS services that Homeport speaks, read from the models that botocore ships, and its own in the same form.

The models name every operation, member, constraint and modelled error, so parsing, validation and
serialisation are driven by them and no operation is described by hand. This room only finds and holds the
models: it must not parse bytes or know what an operation does. Loading costs about 50 ms and a few megabytes,
therefore it happens on first use, once per process, and never at import.

Contract: the botocore service models (service-2) of `SERVICE_NAMES`; `homeport` is in the folder `models`
(docs/adr/0014-own-service-model.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

OWN_NAME = "homeport"
SERVICE_NAMES = ("ecr", "ecr-public", "sts", "iam", "secretsmanager", OWN_NAME)
MODELS = Path(__file__).with_name("models")
"""The folder of our own models, laid out as botocore's data folder, so that AWS_DATA_PATH can name it."""


@dataclass(frozen=True, slots=True)
class Service:
    """One AWS service as its clients address it.

    `target_prefix` is the part of X-Amz-Target before the dot (None for the query protocol);
    `signing_name` is the service in a SigV4 credential scope; `protocol` is "json" or "query".
    """

    name: str
    target_prefix: str | None
    signing_name: str
    protocol: str
    xml_namespace: str | None
    operations: Mapping[str, OperationModel] = field(repr=False, hash=False)


@cache
def load_services() -> Mapping[str, Service]:
    """Every service by name (`SERVICE_NAMES`); loaded on the first call and kept."""
    loader = Loader(extra_search_paths=[str(MODELS)], include_default_search_paths=False)
    loader.search_paths.append(Loader.BUILTIN_DATA_PATH)
    return MappingProxyType({name: _load(loader, name) for name in SERVICE_NAMES})


def _load(loader: Loader, name: str) -> Service:
    model = ServiceModel(loader.load_service_model(name, "service-2"), name)
    return Service(
        name=name,
        target_prefix=model.metadata.get("targetPrefix"),
        signing_name=model.signing_name,
        protocol=model.metadata["protocol"],
        xml_namespace=model.metadata.get("xmlNamespace"),
        operations=MappingProxyType({each: model.operation_model(each) for each in model.operation_names}),
    )
