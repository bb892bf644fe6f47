"""What an AWS client sees for each domain error: exception type and HTTP status. Texts come from the error itself.

Types are those of the botocore models; the common errors come from the AWS JSON 1.1 and query protocols. A test
proves that every class of kernel/errors.py has a row.
"""

from __future__ import annotations

from collections.abc import Collection

from homeport.kernel import errors

FAULTS: dict[type[errors.HomeportError], tuple[str, int]] = {
    errors.InvalidInput: ("InvalidParameterException", 400),
    errors.ValidationError: ("ValidationException", 400),
    errors.TooLarge: ("RequestEntityTooLargeException", 413),
    errors.RangeInvalid: ("InvalidLayerPartException", 400),
    errors.InvalidTagParameter: ("InvalidTagParameterException", 400),
    errors.TooManyTags: ("TooManyTagsException", 400),
    errors.Kms: ("KmsException", 400),
    errors.UnsupportedUpstreamRegistry: ("UnsupportedUpstreamRegistryException", 400),
    errors.MalformedPolicyDocument: ("MalformedPolicyDocument", 400),
    errors.InvalidEntityInput: ("InvalidInput", 400),
    errors.InvalidNextToken: ("InvalidNextTokenException", 400),
    errors.ServiceNotSupported: ("NotSupportedService", 404),
    errors.PackedPolicyTooLarge: ("PackedPolicyTooLarge", 400),
    errors.InvalidIdentityToken: ("InvalidIdentityToken", 400),
    errors.IdpRejectedClaim: ("IDPRejectedClaim", 403),
    errors.ExpiredWebIdentityToken: ("ExpiredTokenException", 400),
    errors.NotFound: ("ResourceNotFoundException", 404),
    errors.RepositoryNotFound: ("RepositoryNotFoundException", 400),
    errors.RepositoryPolicyNotFound: ("RepositoryPolicyNotFoundException", 400),
    errors.ImageNotFound: ("ImageNotFoundException", 400),
    errors.LayersNotFound: ("LayersNotFoundException", 400),
    errors.BlobUnknown: ("LayersNotFoundException", 400),
    errors.UploadNotFound: ("UploadNotFoundException", 400),
    errors.RegistryNotFound: ("RegistryNotFoundException", 400),
    errors.LifecyclePolicyNotFound: ("LifecyclePolicyNotFoundException", 400),
    errors.LifecyclePolicyPreviewNotFound: ("LifecyclePolicyPreviewNotFoundException", 400),
    errors.LifecycleRunNotFound: ("LifecycleRunNotFoundException", 400),
    errors.DefaultLifecyclePolicyNotFound: ("DefaultLifecyclePolicyNotFoundException", 400),
    errors.RegistryPolicyNotFound: ("RegistryPolicyNotFoundException", 400),
    errors.TemplateNotFound: ("TemplateNotFoundException", 400),
    errors.PullThroughCacheRuleNotFound: ("PullThroughCacheRuleNotFoundException", 400),
    errors.ExclusionNotFound: ("ExclusionNotFoundException", 400),
    errors.ScanNotFound: ("ScanNotFoundException", 400),
    errors.SigningConfigurationNotFound: ("SigningConfigurationNotFoundException", 400),
    errors.ReplicationBackfillNotFound: ("ReplicationBackfillNotFoundException", 400),
    errors.RepositoryCatalogDataNotFound: ("RepositoryCatalogDataNotFoundException", 400),
    errors.SecretNotFound: ("SecretNotFoundException", 400),
    errors.NoSuchEntity: ("NoSuchEntity", 404),
    errors.Conflict: ("ConflictException", 409),
    errors.RepositoryAlreadyExists: ("RepositoryAlreadyExistsException", 400),
    errors.RepositoryNotEmpty: ("RepositoryNotEmptyException", 400),
    errors.ImageAlreadyExists: ("ImageAlreadyExistsException", 400),
    errors.ImageTagAlreadyExists: ("ImageTagAlreadyExistsException", 400),
    errors.ImageDigestDoesNotMatch: ("ImageDigestDoesNotMatchException", 400),
    errors.LayerAlreadyExists: ("LayerAlreadyExistsException", 400),
    errors.ReferencedImagesNotFound: ("ReferencedImagesNotFoundException", 400),
    errors.InvalidLayer: ("InvalidLayerException", 400),
    errors.InvalidLayerPart: ("InvalidLayerPartException", 400),
    errors.LayerPartTooSmall: ("LayerPartTooSmallException", 400),
    errors.EmptyUpload: ("EmptyUploadException", 400),
    errors.LayerInaccessible: ("LayerInaccessibleException", 400),
    errors.LifecyclePolicyPreviewInProgress: ("LifecyclePolicyPreviewInProgressException", 400),
    errors.LifecycleRunInProgress: ("LifecycleRunInProgressException", 400),
    errors.TemplateAlreadyExists: ("TemplateAlreadyExistsException", 400),
    errors.PullThroughCacheRuleAlreadyExists: ("PullThroughCacheRuleAlreadyExistsException", 400),
    errors.ExclusionAlreadyExists: ("ExclusionAlreadyExistsException", 400),
    errors.ImageArchived: ("ImageArchivedException", 400),
    errors.ImageStorageClassUpdateNotSupported: ("ImageStorageClassUpdateNotSupportedException", 400),
    errors.UnsupportedImageType: ("UnsupportedImageTypeException", 400),
    errors.ReplicationBackfillInProgress: ("ReplicationBackfillInProgressException", 400),
    errors.ReplicationBackfillInvalidStatus: ("ReplicationBackfillInvalidStatusException", 400),
    errors.UnableToAccessSecret: ("UnableToAccessSecretException", 400),
    errors.UnableToDecryptSecretValue: ("UnableToDecryptSecretValueException", 400),
    errors.SecretExists: ("ResourceExistsException", 400),
    errors.InvalidSecretState: ("InvalidRequestException", 400),
    errors.DecryptionFailure: ("DecryptionFailure", 400),
    errors.EntityAlreadyExists: ("EntityAlreadyExists", 409),
    errors.DeleteConflict: ("DeleteConflict", 409),
    errors.LimitExceeded: ("LimitExceededException", 400),
    errors.Throttled: ("ThrottlingException", 400),
    errors.Unauthenticated: ("UnrecognizedClientException", 400),
    errors.MissingAuthentication: ("MissingAuthenticationTokenException", 400),
    errors.IncompleteSignature: ("IncompleteSignatureException", 400),
    errors.SignatureDoesNotMatch: ("InvalidSignatureException", 400),
    errors.SignatureExpired: ("InvalidSignatureException", 400),
    errors.ExpiredToken: ("ExpiredTokenException", 400),
    errors.AccessDenied: ("AccessDeniedException", 400),
    errors.UnsupportedOperation: ("UnknownOperationException", 400),
    errors.RequestTimeout: ("RequestExpiredException", 408),
    errors.Unavailable: ("ServerException", 500),
    errors.IdpCommunication: ("IDPCommunicationError", 400),
}

_QUERY_NAMES = {
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "AccessDeniedException": ("AccessDenied", 403),
    "UnknownOperationException": ("InvalidAction", 400),
    "InvalidParameterException": ("ValidationError", 400),
    "ValidationException": ("ValidationError", 400),
    "ServerException": ("InternalFailure", 500),
    "LimitExceededException": ("LimitExceeded", 409),
    "ThrottlingException": ("Throttling", 400),
}


# What a service calls by another name than ECR does.
_SERVICE_NAMES = {
    "secretsmanager": {
        "SecretNotFoundException": "ResourceNotFoundException",
        "ServerException": "InternalServiceError",
        "KmsException": "EncryptionFailure",
    }
}


def fault_of(error: errors.HomeportError, service: str = "ecr") -> tuple[str, int]:
    """Return (exception type, HTTP status) of `error` in that service, by its nearest class in the table."""
    name, status = next(
        (FAULTS[kind] for kind in type(error).__mro__ if kind in FAULTS), ("ServerException", 500)
    )
    return _SERVICE_NAMES.get(service, {}).get(name, name), status


def query_fault_of(error: errors.HomeportError, listed: Collection[str] = ()) -> tuple[str, int]:
    """`fault_of` in the words of the query protocol, which STS and IAM speak.

    `listed` are the codes of the errors that the operation's model lists: most operations of IAM have a name of their
    own for our trouble.
    """
    kind, status = fault_of(error)
    if isinstance(error, errors.Unavailable) and kind == "ServerException" and "ServiceFailure" in listed:
        return "ServiceFailure", status
    if isinstance(error, errors.ExpiredWebIdentityToken):
        return kind, status  # of the model, unlike the common error of expired credentials
    return _QUERY_NAMES.get(kind, (kind, status))
