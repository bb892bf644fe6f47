"""The AWS JSON 1.1 protocol, seen from the server: the one door that the AWS front uses.

`services` holds the models, `json_reader` reads requests, `json_writer` writes answers; `query` does the same
for STS and `validation` judges the values. Nothing here knows what an operation does.
"""

from __future__ import annotations

from homeport.aws.json_reader import SerializationError, parse_json
from homeport.aws.json_writer import error_json, serialise_json
from homeport.aws.services import Service, load_services

__all__ = [
    "SerializationError",
    "Service",
    "error_json",
    "load_services",
    "parse_json",
    "serialise_json",
]
