"""What the tests of the errors of STS, IAM and Secrets Manager are made of: a world, and the tables of scenarios.

An operation is written `service:Operation` here, such as `iam:CreateUser`; an error by the code that clients read.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

from homeport.aws.handlers import HANDLERS
from tests.api.federation import Tenant, unsigned
from tests.api.iam_calls import fresh, new_policy, text, trust
from tests.harness.issuer import Issuer
from tests.harness.server import Credentials, Homeport

SERVICES = ("sts", "iam", "secretsmanager")
_MODELS = {name: ServiceModel(Loader().load_service_model(name, "service-2"), name) for name in SERVICES}
OPERATIONS: dict[str, OperationModel] = {
    f"{service}:{name}": _MODELS[service].operation_model(name)
    for service, name in sorted(HANDLERS)
    if service in SERVICES
}
"""Every operation of the three that works, as botocore models it."""


def code_of(shape: Shape) -> str:
    """What an answer calls an error of the model."""
    code: str = shape.metadata.get("error", {}).get("code", shape.name)
    return code


LISTED = {
    (operation, code_of(shape)): shape
    for operation, model in OPERATIONS.items()
    for shape in model.error_shapes
}
"""The shape of every (operation, error) that the models list."""


def listing(error: str, service: str = "iam") -> list[str]:
    """The operations of a service that list an error."""
    return [operation for operation, code in LISTED if code == error and operation.startswith(f"{service}:")]


# --- The world ---


@dataclass(frozen=True)
class World:
    """An account that has one of everything, on a server that trusts an issuer.

    Names are of what exists; `missing` returns the same world with names of what does not.
    """

    server: Homeport
    issuer: Issuer
    who: Credentials
    user: str
    group: str
    role: str
    policy: str
    provider: str
    key: str
    secret: str

    @classmethod
    def of(cls, server: Homeport, issuer: Issuer) -> World:
        """Make one of everything in a new account."""
        who = server.account()
        iam: Any = server.client("iam", credentials=who)
        user, group, role, secret = fresh("user"), fresh("group"), fresh("role"), fresh("secret")
        iam.create_user(UserName=user)
        iam.create_group(GroupName=group)
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust(who.account_id))
        key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
        provider = iam.create_open_id_connect_provider(Url=f"https://{fresh()}.example")
        server.client("secretsmanager", credentials=who).create_secret(Name=secret, SecretString="x")
        arn = provider["OpenIDConnectProviderArn"]
        return cls(server, issuer, who, user, group, role, new_policy(iam), arn, key, secret)

    @property
    def iam(self) -> Any:
        """The administrator's client of IAM."""
        return self.client("iam")

    @property
    def secrets(self) -> Any:
        """The administrator's client of Secrets Manager."""
        return self.client("secretsmanager")

    def client(self, service: str) -> Any:
        """The administrator's client of a service."""
        return self.server.client(service, credentials=self.who)

    def call(self, operation: str, params: dict[str, Any], *, signed: bool = True) -> Any:
        """Call an operation."""
        service, _, name = operation.partition(":")
        client = self.client(service) if signed else unsigned(self.server)
        return getattr(client, xform_name(name))(**params)

    def elsewhere(self) -> World:
        """The same in a new account, where nothing exists yet."""
        return dataclasses.replace(self, who=self.server.account())

    def missing(self) -> World:
        """The same with names that nothing has."""
        account = self.who.account_id
        return dataclasses.replace(
            self,
            user=fresh("missing"),
            group=fresh("missing"),
            role=fresh("missing"),
            policy=f"arn:aws:iam::{account}:policy/{fresh('missing')}",
            provider=f"arn:aws:iam::{account}:oidc-provider/{fresh('missing')}.example",
            key="AKIA" + uuid.uuid4().hex[:16].upper(),
            secret=fresh("missing"),
        )

    @cached_property
    def tenant(self) -> Tenant:
        """A provider of the issuer with a role that trusts it, in the administrator's account of the server."""
        return Tenant(self.server, self.issuer)

    def new_user(self) -> str:
        """Make a user; return the name."""
        name = fresh("user")
        self.iam.create_user(UserName=name)
        return name

    def new_group(self) -> str:
        """Make a group; return the name."""
        name = fresh("group")
        self.iam.create_group(GroupName=name)
        return name

    def new_role(self) -> str:
        """Make a role; return the name."""
        name = fresh("role")
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(self.who.account_id))
        return name

    def new_secret(self, **more: Any) -> str:
        """Make a secret; return the name."""
        name = fresh("secret")
        self.secrets.create_secret(Name=name, **({"SecretString": "x"} | more))
        return name


def usual(world: World) -> dict[str, dict[str, Any]]:
    """Parameters with which each operation gets as far as the rules about what it names."""
    user, group, role = {"UserName": world.user}, {"GroupName": world.group}, {"RoleName": world.role}
    policy, provider = {"PolicyArn": world.policy}, {"OpenIDConnectProviderArn": world.provider}
    attached = {"PolicyArn": "arn:aws:iam::aws:policy/IAMFullAccess"}
    boundary = {"PermissionsBoundary": "arn:aws:iam::aws:policy/IAMFullAccess"}
    named, document = {"PolicyName": "inline"}, {"PolicyDocument": text("ecr:DescribeRepositories")}
    tags, keys = {"Tags": [{"Key": "k", "Value": "v"}]}, {"TagKeys": ["k"]}
    key = {"AccessKeyId": world.key}
    trusting = trust(world.who.account_id)
    secret = {"SecretId": world.secret}
    iam: dict[str, dict[str, Any]] = {
        "AddClientIDToOpenIDConnectProvider": {**provider, "ClientID": "app"},
        "AddUserToGroup": {**group, **user},
        "AttachGroupPolicy": {**group, **attached},
        "AttachRolePolicy": {**role, **attached},
        "AttachUserPolicy": {**user, **attached},
        "CreateAccessKey": user,
        "CreateGroup": {"GroupName": fresh("new")},
        "CreateOpenIDConnectProvider": {"Url": f"https://{fresh('new')}.example"},
        "CreatePolicy": {"PolicyName": fresh("new"), **document},
        "CreatePolicyVersion": {**policy, **document},
        "CreateRole": {"RoleName": fresh("new"), "AssumeRolePolicyDocument": trusting},
        "CreateUser": {"UserName": fresh("new")},
        "DeleteAccessKey": {**user, **key},
        "DeleteGroup": group,
        "DeleteGroupPolicy": {**group, **named},
        "DeleteLoginProfile": user,
        "DeleteOpenIDConnectProvider": provider,
        "DeletePolicy": policy,
        "DeletePolicyVersion": {**policy, "VersionId": "v1"},
        "DeleteRole": role,
        "DeleteRolePermissionsBoundary": role,
        "DeleteRolePolicy": {**role, **named},
        "DeleteUser": user,
        "DeleteUserPermissionsBoundary": user,
        "DeleteUserPolicy": {**user, **named},
        "DetachGroupPolicy": {**group, **attached},
        "DetachRolePolicy": {**role, **attached},
        "DetachUserPolicy": {**user, **attached},
        "GetAccessKeyLastUsed": key,
        "GetGroup": group,
        "GetGroupPolicy": {**group, **named},
        "GetLoginProfile": user,
        "GetOpenIDConnectProvider": provider,
        "GetPolicy": policy,
        "GetPolicyVersion": {**policy, "VersionId": "v1"},
        "GetRole": role,
        "GetRolePolicy": {**role, **named},
        "GetUser": user,
        "GetUserPolicy": {**user, **named},
        "ListAccessKeys": user,
        "ListAttachedGroupPolicies": group,
        "ListAttachedRolePolicies": role,
        "ListAttachedUserPolicies": user,
        "ListEntitiesForPolicy": policy,
        "ListGroupPolicies": group,
        "ListGroups": {},
        "ListGroupsForUser": user,
        "ListInstanceProfilesForRole": role,
        "ListMFADevices": user,
        "ListOpenIDConnectProviderTags": provider,
        "ListOpenIDConnectProviders": {},
        "ListPolicies": {},
        "ListPolicyTags": policy,
        "ListPolicyVersions": policy,
        "ListRolePolicies": role,
        "ListRoleTags": role,
        "ListRoles": {},
        "ListSSHPublicKeys": user,
        "ListServiceSpecificCredentials": user,
        "ListSigningCertificates": user,
        "ListUserPolicies": user,
        "ListUserTags": user,
        "ListUsers": {},
        "ListVirtualMFADevices": {},
        "PutGroupPolicy": {**group, **named, **document},
        "PutRolePermissionsBoundary": {**role, **boundary},
        "PutRolePolicy": {**role, **named, **document},
        "PutUserPermissionsBoundary": {**user, **boundary},
        "PutUserPolicy": {**user, **named, **document},
        "RemoveClientIDFromOpenIDConnectProvider": {**provider, "ClientID": "app"},
        "RemoveUserFromGroup": {**group, **user},
        "SetDefaultPolicyVersion": {**policy, "VersionId": "v1"},
        "SimulateCustomPolicy": {"PolicyInputList": ["{}"], "ActionNames": ["ecr:PutImage"]},
        "SimulatePrincipalPolicy": {
            "PolicySourceArn": f"arn:aws:iam::{world.who.account_id}:user/{world.user}",
            "ActionNames": ["ecr:PutImage"],
        },
        "TagOpenIDConnectProvider": {**provider, **tags},
        "TagPolicy": {**policy, **tags},
        "TagRole": {**role, **tags},
        "TagUser": {**user, **tags},
        "UntagOpenIDConnectProvider": {**provider, **keys},
        "UntagPolicy": {**policy, **keys},
        "UntagRole": {**role, **keys},
        "UntagUser": {**user, **keys},
        "UpdateAccessKey": {**user, **key, "Status": "Active"},
        "UpdateAssumeRolePolicy": {**role, "PolicyDocument": trusting},
        "UpdateGroup": {**group, "NewPath": "/team/"},
        "UpdateOpenIDConnectProviderThumbprint": {**provider, "ThumbprintList": ["0" * 40]},
        "UpdateRole": {**role, "Description": "d"},
        "UpdateRoleDescription": {**role, "Description": "d"},
        "UpdateUser": {**user, "NewPath": "/team/"},
    }
    secrets: dict[str, dict[str, Any]] = {
        "CreateSecret": {"Name": fresh("new"), "SecretString": "x"},
        "DeleteSecret": secret,
        "DescribeSecret": secret,
        "GetResourcePolicy": secret,
        "GetSecretValue": secret,
        "ListSecretVersionIds": secret,
        "ListSecrets": {},
        "PutSecretValue": {**secret, "SecretString": "y"},
        "RestoreSecret": secret,
        "TagResource": {**secret, **tags},
        "UntagResource": {**secret, **keys},
        "UpdateSecret": {**secret, "SecretString": "z"},
        "UpdateSecretVersionStage": {**secret, "VersionStage": "label"},
    }
    of_all = [("iam", iam), ("secretsmanager", secrets)]
    return {f"{service}:{name}": params for service, calls in of_all for name, params in calls.items()}


# --- The tables ---


@dataclass(frozen=True)
class Refused:
    """A call that must be refused with exactly this text, or one of this form."""

    text: str | re.Pattern[str]
    params: dict[str, Any]
    world: World | None = None  # where it is called, when not in the world that the scenario was given
    signed: bool = True


Scenario = Callable[[World, str], Refused]
"""Given the world and the operation, arranges a call of it that is refused."""


@dataclass
class Tables:
    """What the modules of scenarios fill when they are imported."""

    scenarios: dict[tuple[str, str], Scenario] = field(default_factory=dict)
    twice: list[tuple[str, str]] = field(default_factory=list)


TABLES = Tables()


def refuses(error: str, *operations: str) -> Callable[[Scenario], Scenario]:
    """Enter a scenario for the operations (with their service) that are refused with `error` in the same way."""

    def enter(scenario: Scenario) -> Scenario:
        for operation in operations:
            if (operation, error) in TABLES.scenarios:
                TABLES.twice.append((operation, error))
            TABLES.scenarios[operation, error] = scenario
        return scenario

    return enter


def long_policy(characters: int) -> str:
    """An identity policy of more than so many characters."""
    document = json.loads(text("ecr:DescribeRepositories"))
    document["Statement"][0]["Resource"] = [
        f"arn:aws:ecr:*:*:repository/{number:0100}" for number in range(characters // 100 + 1)
    ]
    return json.dumps(document)
