"""What an OCI client sees for each domain error: HTTP status and error code. Texts come from the error itself.

OCI distribution-spec, "Error Codes"; ecr-specific choices are in docs/reference/errors.md. A test proves that every
class of kernel/errors.py has a row.
"""

from __future__ import annotations

import json

from homeport.kernel import errors

FAULTS: dict[type[errors.HomeportError], tuple[int, str]] = {
    errors.InvalidParameter: (400, "UNSUPPORTED"),
    errors.NameInvalid: (400, "NAME_INVALID"),
    errors.TagInvalid: (400, "TAG_INVALID"),
    errors.DigestInvalid: (400, "DIGEST_INVALID"),
    errors.ManifestInvalid: (400, "MANIFEST_INVALID"),
    errors.TooLarge: (413, "SIZE_INVALID"),
    errors.RangeInvalid: (416, "BLOB_UPLOAD_INVALID"),
    errors.UnsupportedEncoding: (415, "UNSUPPORTED"),
    errors.InvalidTagParameter: (400, "UNSUPPORTED"),
    errors.TooManyTags: (400, "UNSUPPORTED"),
    errors.InvalidInput: (400, "UNSUPPORTED"),
    errors.RepositoryNotFound: (404, "NAME_UNKNOWN"),
    errors.RepositoryPolicyNotFound: (404, "NAME_UNKNOWN"),
    errors.ImageNotFound: (404, "MANIFEST_UNKNOWN"),
    errors.LayersNotFound: (400, "MANIFEST_BLOB_UNKNOWN"),
    errors.BlobUnknown: (404, "BLOB_UNKNOWN"),
    errors.UploadNotFound: (404, "BLOB_UPLOAD_UNKNOWN"),
    errors.RegistryNotFound: (404, "NAME_UNKNOWN"),
    errors.RouteNotFound: (404, "UNSUPPORTED"),
    errors.NotFound: (404, "NAME_UNKNOWN"),
    errors.RepositoryAlreadyExists: (409, "UNSUPPORTED"),
    errors.RepositoryNotEmpty: (409, "UNSUPPORTED"),
    errors.ImageAlreadyExists: (409, "UNSUPPORTED"),
    errors.ImageTagAlreadyExists: (400, "TAG_INVALID"),
    errors.ImageTagPinned: (403, "DENIED"),
    errors.ImageDigestDoesNotMatch: (400, "DIGEST_INVALID"),
    errors.LayerAlreadyExists: (409, "UNSUPPORTED"),
    errors.ReferencedImagesNotFound: (400, "MANIFEST_BLOB_UNKNOWN"),
    errors.ImageReferencedByManifestList: (405, "UNSUPPORTED"),
    errors.InvalidLayer: (400, "DIGEST_INVALID"),
    errors.InvalidLayerPart: (416, "BLOB_UPLOAD_INVALID"),
    errors.LayerPartTooSmall: (400, "BLOB_UPLOAD_INVALID"),
    errors.EmptyUpload: (400, "BLOB_UPLOAD_INVALID"),
    errors.LayerInaccessible: (404, "BLOB_UNKNOWN"),
    errors.ImageArchived: (404, "MANIFEST_UNKNOWN"),
    errors.Conflict: (409, "UNSUPPORTED"),
    errors.LimitExceeded: (429, "TOOMANYREQUESTS"),
    errors.Throttled: (429, "TOOMANYREQUESTS"),
    errors.AuthorizationTokenExpired: (403, "DENIED"),
    errors.Unauthenticated: (401, "UNAUTHORIZED"),
    errors.AccessDenied: (403, "DENIED"),
    errors.UnsupportedOperation: (405, "UNSUPPORTED"),
    errors.RequestTimeout: (408, "BLOB_UPLOAD_INVALID"),
    errors.Unavailable: (503, "UNAVAILABLE"),
}


def fault_of(error: errors.HomeportError) -> tuple[int, str]:
    """Return (HTTP status, error code) of `error`, by its nearest class in the table."""
    for kind in type(error).__mro__:
        if kind in FAULTS:
            return FAULTS[kind]
    return 500, "UNKNOWN"


def body_of(code: str, message: str) -> bytes:
    """Return the JSON body of an error answer."""
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
