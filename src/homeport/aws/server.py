"""Dispatch of the AWS APIs on one host: JSON 1.1 by X-Amz-Target, the query protocol by Action.

Order of a call: find the operation, check the form of the signature, read the body, verify, parse, validate,
authorise inside the handler, serialise.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from botocore.model import OperationModel

from homeport.access import attempts
from homeport.access.authenticate import caller_name
from homeport.access.operations import OPERATIONS
from homeport.access.sigv4_claim import SigningRequest
from homeport.aws import faults, query, query_writer, validation
from homeport.aws.call import Call
from homeport.aws.handlers import HANDLERS
from homeport.aws.protocol import (
    SerializationError,
    Service,
    error_json,
    load_services,
    parse_json,
    serialise_json,
)
from homeport.kernel import limits
from homeport.kernel.errors import (
    HomeportError,
    InvalidClientToken,
    InvalidLayerPart,
    UnsupportedOperation,
    ValidationError,
)
from homeport.region import Region
from homeport.wire.answer import Answer
from homeport.wire.exchange import Exchange

_JSON = "application/x-amz-json-1.1"
_LARGE = {(service, name) for service in ("ecr", "ecr-public") for name in ("UploadLayerPart", "PutImage")}
_UNSIGNED = {("sts", "AssumeRoleWithWebIdentity")}  # the token in the request says who asks
_SMALL_BODY_BYTES = 1024 * 1024
_LARGE_AT_ONCE = 4  # bodies of up to 29 MiB held at one time; more callers wait their turn
# Hold all images of a repository while they answer: one at a time.
_WHOLE_REPOSITORY = {("homeport", "ExplainLifecyclePolicy")}
_OFF_LOOP_BYTES = 256 * 1024  # larger bodies are parsed in a thread


class AwsFront:
    """ECR, ECR Public, STS, IAM, Secrets Manager and our own service, of one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        services = load_services()
        self._by_target = {
            service.target_prefix: service
            for service in services.values()
            if service.target_prefix is not None
        }
        self._query_services = [services["sts"], services["iam"]]
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._whole_repository = asyncio.Semaphore(1)

    async def handle(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one API call; expected failures become error answers, defects pass through."""
        target = exchange.request.headers.getall("X-Amz-Target", [])
        if target:
            exchange.front = "aws"
            return await self._json(exchange, target)
        exchange.front = "query"
        return await self._query(exchange)

    async def _json(self, exchange: Exchange, target: list[str]) -> Answer:
        model: OperationModel | None = None
        try:
            if len(target) > 1:
                raise UnsupportedOperation("The request has more than one X-Amz-Target")
            prefix, _, name = target[0].partition(".")
            service = self._by_target.get(prefix)
            model = service.operations.get(name) if service is not None else None
            if service is None or model is None:
                raise UnsupportedOperation("The requested operation is not recognized by the service")
            exchange.operation = name
            large = (service.name, name) in _LARGE
            signing = _signing_request(exchange)
            try:
                await self._region.authenticator.recognise(signing)
            except attempts.FAILURES as error:
                raise self._failed(exchange, signing, error) from None
            if large:
                async with self._large:
                    body = await exchange.small_body(limits.API_BODY_BYTES)
                    answer = await self._call(exchange, service, model, signing, body)
            else:
                body = await exchange.small_body(_SMALL_BODY_BYTES)
                answer = await self._call(exchange, service, model, signing, body)
            return self._answer(exchange, 200, serialise_json(model, answer))
        except SerializationError as error:
            return self._answer(exchange, 400, error_json("SerializationException", error.message))
        except HomeportError as error:
            kind, status = faults.fault_of(error, model.service_model.service_name if model else "ecr")
            if model is not None:
                kind = validation.listed_kind(model, kind)
            if isinstance(error, UnsupportedOperation) and model is not None:
                kind = _unsupported_kind(model)
            extra = error.details if isinstance(error, InvalidLayerPart) else {}
            return self._answer(exchange, status, error_json(kind, error.message, extra), kind)

    async def _call(
        self,
        exchange: Exchange,
        service: Service,
        model: OperationModel,
        signing: SigningRequest,
        body: bytes,
    ) -> Mapping[str, Any]:
        digest = hashlib.sha256(body).hexdigest()
        try:
            signed = await self._region.authenticator.signed(
                signing, (service.signing_name,), digest, worldwide=service.name == "ecr-public"
            )
        except attempts.FAILURES as error:
            raise self._failed(exchange, signing, error) from None
        exchange.principal = caller_name(signed.principal.caller)
        if len(body) > _OFF_LOOP_BYTES:
            params = await self._region.threads.run(lambda: parse_json(model, body))
        else:
            params = parse_json(model, body)
        validation.validate(model, params)
        operation = OPERATIONS.get((service.name, model.name))
        handler = HANDLERS.get((service.name, model.name))
        if operation is None or handler is None:
            raise UnsupportedOperation("The requested operation is not recognized by the service")
        if self._region.rates is not None:
            self._region.rates.spend(signed.principal.caller.account, operation.action)
        call = await Call.of(self._region, exchange, signed, operation, params, self._region.clock.now())
        if (service.name, model.name) in _WHOLE_REPOSITORY:
            async with self._whole_repository:
                return await handler(call)
        return await handler(call)

    async def _query(self, exchange: Exchange) -> Answer:
        service, model = self._query_services[0], None
        try:
            body = await exchange.small_body(_SMALL_BODY_BYTES)
            # A presigned address has its parameters in the query, whichever method it is made for.
            form = body or exchange.raw_query.encode()
            service = query.service_of(self._query_services, form)
            asked = query.parse_query(service, form)
            model = asked.operation
            operation = OPERATIONS.get((service.name, asked.action))
            if operation is not None:  # never a word of the client's in the log and the metrics
                exchange.operation = asked.action
            signing = _signing_request(exchange)
            if (service.name, asked.action) in _UNSIGNED:
                signed = self._region.authenticator.nobody()
            else:
                digest = hashlib.sha256(body).hexdigest()
                try:
                    signed = await self._region.authenticator.signed(
                        signing, (service.signing_name,), digest, worldwide=True
                    )
                except attempts.FAILURES as error:
                    raise self._failed(exchange, signing, error) from None
            exchange.principal = caller_name(signed.principal.caller)
            if service.name == "iam" and signed.session is not None and signed.session.role is None:
                # STS, GetSessionToken: without a second factor such credentials call no IAM operation, so a leaked
                # session cannot make itself a key that lasts.
                raise InvalidClientToken("The security token included in the request is invalid")
            handler = HANDLERS.get((service.name, asked.action))
            if handler is None or asked.operation is None or operation is None:
                raise UnsupportedOperation(
                    f"Could not find operation {asked.action} for version {asked.version}"
                )
            if self._region.rates is not None:
                self._region.rates.spend(signed.principal.caller.account, operation.action)
            violations = list(validation.violations(asked.operation, asked.params))
            if violations:
                raise ValidationError(query.validation_message(violations))
            call = await Call.of(
                self._region, exchange, signed, operation, asked.params, self._region.clock.now()
            )
            answer = await handler(call)
            text = query_writer.serialise_xml(service, asked.operation, answer, exchange.request_id)
            return _xml(200, text)
        except SerializationError as error:
            return _fault(service, exchange, 400, "MalformedInput", error.message)
        except HomeportError as error:
            code, status = faults.query_fault_of(error, _listed(model))
            return _fault(service, exchange, status, code, error.message)

    def _failed(self, exchange: Exchange, signing: SigningRequest, error: HomeportError) -> HomeportError:
        """Count a failed attempt; return what to answer."""
        return self._region.attempts.failed(error, exchange.remote, attempts.key_holder(signing))

    @staticmethod
    def _answer(exchange: Exchange, status: int, body: bytes, kind: str | None = None) -> Answer:
        headers = {"Content-Type": _JSON}
        if kind is not None:
            headers["x-amzn-ErrorType"] = kind
        return Answer(status=status, body=body, headers=headers)


def _xml(status: int, body: bytes) -> Answer:
    return Answer(status=status, body=body, headers={"Content-Type": "text/xml"})


def _fault(service: Service, exchange: Exchange, status: int, code: str, message: str) -> Answer:
    return _xml(
        status,
        query_writer.error_xml(code, message, exchange.request_id, sender=status < 500, service=service),
    )


def _listed(model: OperationModel | None) -> set[str]:
    """The codes of the errors that the model of an operation lists."""
    shapes = model.error_shapes if model is not None else ()
    return {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}


def _unsupported_kind(model: OperationModel) -> str:
    modelled = {shape.name for shape in model.error_shapes}
    unsupported = "UnsupportedCommandException"
    return unsupported if unsupported in modelled else "UnknownOperationException"


def _signing_request(exchange: Exchange) -> SigningRequest:
    request = exchange.request
    headers = [(name, value) for name, value in request.headers.items()]
    return SigningRequest(request.method, exchange.raw_path, exchange.raw_query, headers)
