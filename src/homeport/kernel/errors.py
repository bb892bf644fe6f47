"""Everything that can go wrong, as data: one class per outcome, one sentence per class.

The tree below is the whole vocabulary. A front never invents an error: it translates one of these
(`aws/faults.py`, `oci/faults.py`), and a test proves that both translations know every class.

    HomeportError
    ├── InvalidInput            InvalidParameter ValidationError NameInvalid TagInvalid DigestInvalid
    │                           ManifestInvalid TooLarge RangeInvalid UnsupportedEncoding InvalidTagParameter
    │                           TooManyTags Kms UnsupportedUpstreamRegistry MalformedPolicyDocument PackedPolicyTooLarge
    │                           InvalidIdentityToken IdpRejectedClaim ExpiredWebIdentityToken InvalidEntityInput
    │                           InvalidNextToken ServiceNotSupported
    ├── NotFound                RepositoryNotFound RepositoryPolicyNotFound ImageNotFound LayersNotFound
    │                           BlobUnknown UploadNotFound RegistryNotFound RouteNotFound
    │                           LifecyclePolicyNotFound LifecyclePolicyPreviewNotFound RegistryPolicyNotFound
    │                           DefaultLifecyclePolicyNotFound LifecycleRunNotFound
    │                           TemplateNotFound PullThroughCacheRuleNotFound ExclusionNotFound ScanNotFound
    │                           SigningConfigurationNotFound ReplicationBackfillNotFound
    │                           RepositoryCatalogDataNotFound SecretNotFound NoSuchEntity
    ├── Conflict                RepositoryAlreadyExists RepositoryNotEmpty ImageAlreadyExists
    │                           ImageTagAlreadyExists ImageTagPinned ImageDigestDoesNotMatch LayerAlreadyExists
    │                           ReferencedImagesNotFound ImageReferencedByManifestList
    │                           InvalidLayer InvalidLayerPart LayerPartTooSmall EmptyUpload LayerInaccessible
    │                           LifecyclePolicyPreviewInProgress LifecycleRunInProgress TemplateAlreadyExists
    │                           PullThroughCacheRuleAlreadyExists ExclusionAlreadyExists ImageArchived
    │                           ImageStorageClassUpdateNotSupported UnsupportedImageType
    │                           ReplicationBackfillInProgress ReplicationBackfillInvalidStatus
    │                           UnableToAccessSecret UnableToDecryptSecretValue SecretExists InvalidSecretState
    │                           DecryptionFailure
    │                           EntityAlreadyExists DeleteConflict
    ├── LimitExceeded
    ├── Throttled
    ├── Unauthenticated         MissingAuthentication IncompleteSignature InvalidClientToken
    │                           SignatureDoesNotMatch SignatureExpired ExpiredToken AuthorizationTokenExpired
    ├── AccessDenied
    ├── UnsupportedOperation
    ├── RequestTimeout
    └── Unavailable             StorageFull IdpCommunication
"""

from __future__ import annotations


class HomeportError(Exception):
    """Base of every expected failure; `message` is safe to show to the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(HomeportError):
    """The request itself is wrong; repeating it unchanged cannot succeed."""


class InvalidParameter(InvalidInput):
    """A member breaks a constraint; worded as ECR words it (ecr InvalidParameterException)."""

    def __init__(self, parameter: str, constraint: str) -> None:
        super().__init__(f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'")
        self.parameter = parameter


class ValidationError(InvalidInput):
    """Members of a query request that break constraints, all of them in one sentence (STS and IAM)."""


class NameInvalid(InvalidInput):
    """Not a legal repository name."""


class TagInvalid(InvalidInput):
    """Not a legal image tag."""


class DigestInvalid(InvalidInput):
    """Not a digest, not an accepted algorithm, or not the digest of the bytes that came."""


class ManifestInvalid(InvalidInput):
    """The manifest is not JSON, contradicts itself or its Content-Type, or exceeds a bound."""


class TooLarge(InvalidInput):
    """The body is larger than the limit for its kind."""


class RangeInvalid(InvalidInput):
    """Content-Range does not continue the upload; `offset` is the next byte that the server wants."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class UnsupportedEncoding(InvalidInput):
    """The body has a Content-Encoding; bytes are stored exactly as sent, so none is accepted."""


class InvalidTagParameter(InvalidInput):
    """A resource tag is malformed."""


class TooManyTags(InvalidInput):
    """More than 50 resource tags on one resource."""


class Kms(InvalidInput):
    """An encryption key that this registry cannot use (ecr KmsException)."""


class UnsupportedUpstreamRegistry(InvalidInput):
    """A pull-through cache rule for an upstream that is not supported."""


class MalformedPolicyDocument(InvalidInput):
    """A policy that IAM or STS refuses (iam MalformedPolicyDocument)."""


class InvalidEntityInput(InvalidInput):
    """A value that IAM refuses although it has the right form (iam InvalidInput)."""


class InvalidNextToken(InvalidInput):
    """A token for a next page that was not given for this list (secretsmanager InvalidNextTokenException)."""


class ServiceNotSupported(InvalidInput):
    """A service that has no credentials of its own (iam NotSupportedService)."""


class PackedPolicyTooLarge(InvalidInput):
    """Session policies and tags that together exceed what STS packs into a session."""


class InvalidIdentityToken(InvalidInput):
    """A web identity token that is not well formed, not signed by its issuer, or of an unknown provider."""


class IdpRejectedClaim(InvalidInput):
    """A web identity token whose claims the provider's configuration refuses (sts IDPRejectedClaim)."""


class ExpiredWebIdentityToken(InvalidInput):
    """A web identity token past its end (sts ExpiredTokenException)."""


class NotFound(HomeportError):
    """The named thing does not exist (or the caller may not know that it does)."""


class RepositoryNotFound(NotFound):
    """No such repository in the registry."""

    def __init__(self, name: str, registry_id: str) -> None:
        super().__init__(
            f"The repository with name '{name}' does not exist in the registry with id '{registry_id}'"
        )


class RepositoryPolicyNotFound(NotFound):
    """The repository has no policy."""

    def __init__(self, name: str, registry_id: str) -> None:
        super().__init__(
            f"Repository policy does not exist for the repository with name '{name}' "
            f"in the registry with id '{registry_id}'"
        )


class ImageNotFound(NotFound):
    """No image has that tag or digest."""


class LayersNotFound(NotFound):
    """A manifest or a call names layers that the repository does not hold."""


class BlobUnknown(NotFound):
    """No such blob in this repository."""


class UploadNotFound(NotFound):
    """No such upload for this caller in this repository."""


class RegistryNotFound(NotFound):
    """The host or account names no registry served here."""


class RouteNotFound(NotFound):
    """No such path."""


class LifecyclePolicyNotFound(NotFound):
    """The repository has no lifecycle policy."""

    def __init__(self, name: str, registry_id: str) -> None:
        super().__init__(
            f"Lifecycle policy does not exist for the repository with name '{name}' "
            f"in the registry with id '{registry_id}'"
        )


class LifecyclePolicyPreviewNotFound(NotFound):
    """No preview was started for the repository."""

    def __init__(self, name: str, registry_id: str) -> None:
        super().__init__(
            f"There is no lifecycle policy preview for the repository with name '{name}' "
            f"in the registry with id '{registry_id}'"
        )


class DefaultLifecyclePolicyNotFound(NotFound):
    """No lifecycle policy is inherited from that prefix."""

    def __init__(self, prefix: str, registry_id: str) -> None:
        super().__init__(
            f"There is no default lifecycle policy for the prefix '{prefix}' "
            f"in the registry with id '{registry_id}'"
        )


class LifecycleRunNotFound(NotFound):
    """The repository had no such run of its lifecycle policy, or not lately (no error of ECR)."""


class RegistryPolicyNotFound(NotFound):
    """The registry has no policy."""

    def __init__(self, registry_id: str) -> None:
        super().__init__(f"Registry policy does not exist in the registry with id '{registry_id}'")


class TemplateNotFound(NotFound):
    """No repository creation template has that prefix."""


class PullThroughCacheRuleNotFound(NotFound):
    """No pull-through cache rule has that prefix."""


class ExclusionNotFound(NotFound):
    """The principal is not excluded from pull-time updates."""


class ScanNotFound(NotFound):
    """The image was never scanned."""


class SigningConfigurationNotFound(NotFound):
    """The registry has no signing configuration."""


class ReplicationBackfillNotFound(NotFound):
    """No replication backfill has that id."""


class RepositoryCatalogDataNotFound(NotFound):
    """A public repository without catalog data."""


class SecretNotFound(NotFound):
    """No secret has that ARN or name."""


class NoSuchEntity(NotFound):
    """No such user, group, role, policy, key or provider (iam NoSuchEntity)."""


class Conflict(HomeportError):
    """The request is well formed but the present state refuses it."""


class RepositoryAlreadyExists(Conflict):
    """A repository of that name exists."""

    def __init__(self, name: str, registry_id: str) -> None:
        super().__init__(
            f"The repository with name '{name}' already exists in the registry with id '{registry_id}'"
        )


class RepositoryNotEmpty(Conflict):
    """Deleting a repository that holds images needs `force`, and no pinned tag."""

    def __init__(self, name: str, registry_id: str, pinned: str = "") -> None:
        why = f"pinned tags, which must be unpinned first: [{pinned}]" if pinned else "images"
        super().__init__(
            f"The repository with name '{name}' in registry with id '{registry_id}' "
            f"cannot be deleted because it still contains {why}"
        )


class ImageAlreadyExists(Conflict):
    """PutImage of a digest and tag that are there already."""


class ImageTagAlreadyExists(Conflict):
    """The tag is immutable and names another image."""

    def __init__(self, tag: str, repository: str) -> None:
        super().__init__(
            f"The image tag '{tag}' already exists in the '{repository}' repository "
            "and cannot be overwritten because the tag is immutable."
        )


class ImageTagPinned(Conflict):
    """A pinned tag protects itself and its image from being deleted (no error of ECR)."""


class ImageDigestDoesNotMatch(Conflict):
    """PutImage named a digest that is not the manifest's."""


class LayerAlreadyExists(Conflict):
    """CompleteLayerUpload of a layer that the repository already has."""


class ReferencedImagesNotFound(Conflict):
    """An index names images that the repository does not hold."""


class ImageReferencedByManifestList(Conflict):
    """The image is a child of an index in the same repository."""


class InvalidLayer(Conflict):
    """The uploaded bytes do not have the digest that was claimed."""


class InvalidLayerPart(Conflict):
    """A part does not continue the upload (ecr InvalidLayerPartException)."""

    def __init__(
        self, message: str, registry_id: str, repository: str, upload_id: str, last_valid_byte: int
    ) -> None:
        super().__init__(message)
        self.details: dict[str, str | int] = {
            "registryId": registry_id,
            "repositoryName": repository,
            "uploadId": upload_id,
            "lastValidByteReceived": last_valid_byte,
        }


class LayerPartTooSmall(Conflict):
    """A part other than the last is under 5 MiB."""


class EmptyUpload(Conflict):
    """CompleteLayerUpload before any part."""


class LayerInaccessible(Conflict):
    """The layer exists but no image refers to it."""


class LifecyclePolicyPreviewInProgress(Conflict):
    """A preview of the repository is still running."""


class LifecycleRunInProgress(Conflict):
    """A run of the repository's lifecycle policy is still under way (no error of ECR)."""


class TemplateAlreadyExists(Conflict):
    """A repository creation template with that prefix exists."""


class PullThroughCacheRuleAlreadyExists(Conflict):
    """A pull-through cache rule with that prefix exists."""


class ExclusionAlreadyExists(Conflict):
    """The principal is excluded from pull-time updates already."""


class ImageArchived(Conflict):
    """The image is archived: restore it first."""


class ImageStorageClassUpdateNotSupported(Conflict):
    """The image's kind or state does not allow the storage class that was asked for."""


class UnsupportedImageType(Conflict):
    """The image is of a kind that cannot be scanned."""


class ReplicationBackfillInProgress(Conflict):
    """A backfill to that destination is running."""


class ReplicationBackfillInvalidStatus(Conflict):
    """The backfill is over."""


class UnableToAccessSecret(Conflict):
    """The secret of an upstream registry may not be read."""


class UnableToDecryptSecretValue(Conflict):
    """The secret of an upstream registry holds no usable credentials."""


class SecretExists(Conflict):
    """A secret of that name exists (secretsmanager ResourceExistsException)."""


class InvalidSecretState(Conflict):
    """The secret is scheduled for deletion, or was never given a value."""


class DecryptionFailure(Conflict):
    """A secret's value that was sealed with another master key (secretsmanager DecryptionFailure)."""


class EntityAlreadyExists(Conflict):
    """A user, group, role, policy or provider of that name exists (iam EntityAlreadyExists)."""


class DeleteConflict(Conflict):
    """An identity that still has something attached cannot be deleted (iam DeleteConflict)."""


class LimitExceeded(HomeportError):
    """A published quota would be exceeded."""


class Throttled(HomeportError):
    """The caller sends more requests of this kind than its rate allows."""

    def __init__(self, message: str = "Rate exceeded", retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class Unauthenticated(HomeportError):
    """We do not know who is asking."""


class MissingAuthentication(Unauthenticated):
    """No credentials at all."""


class IncompleteSignature(Unauthenticated):
    """An Authorization header or presigned query that lacks a part or contradicts itself."""


class InvalidClientToken(Unauthenticated):
    """Unknown or inactive access key, or a session token that we did not issue."""


class SignatureDoesNotMatch(Unauthenticated):
    """The signature, region, service or body hash is wrong."""


class SignatureExpired(Unauthenticated):
    """Signed more than 15 minutes away from now, or a presigned address past its end."""


class ExpiredToken(Unauthenticated):
    """Temporary credentials past their end."""


class AuthorizationTokenExpired(Unauthenticated):
    """A registry password past its 12 hours."""

    def __init__(self) -> None:
        super().__init__("Your authorization token has expired. Reauthenticate and try again.")


class AccessDenied(HomeportError):
    """We know who is asking, and policies do not allow it."""


class UnsupportedOperation(HomeportError):
    """An operation of the service that this registry does not offer (yet)."""


class RequestTimeout(HomeportError):
    """The body came slower than the minimum rate."""


class Unavailable(HomeportError):
    """We cannot do it now; the same request may succeed later."""


class StorageFull(Unavailable):
    """No room left for bytes or metadata; nothing of this request was kept."""


class IdpCommunication(Unavailable):
    """The keys of an identity provider could not be fetched (sts IDPCommunicationError)."""
