"""Everything that can go wrong on purpose, one branch per step from bytes to answer.

    StriateError
    |- ProtocolError              connection -> request
    |  |- MalformedRequest  RequestTimeout  TargetTooLong  HeadTooLarge  TooManyHeaders  MethodUnknown
    |  |- CodingUnknown  TooManyConnections  ShuttingDown
    |- AccessError                request -> who asks
    |  |- Unauthorized  Forbidden  TooManyRequests
    |- IntakeError                request -> bytes
    |  |- EmptyBody  MalformedBody  UnsupportedMediaType  CodingNotTaken  PayloadTooLarge  TooManyImages
    |  |- NotAcceptable
    |- ParameterError             query -> options
    |- NotOffered                 what other servers do and this one does not
    |- ImageError                 bytes -> image
    |  |- NotAnImage  BrokenImage  ImageTooLarge  ImageTooSmall  Unanswerable
    |  |- ImageTooCostly  DecoderCrashed
    |- RepositoryError            folder -> live model
    |  |- ModelNotFound  VersionNotFound  WrongTask  NotReady
    |  |- VersionRefused          never leaves the repository
    |  |- PolicyInvalid  PolicyNotKept  LocalOnly     from operators only
    |- BatchError                 tensor -> row
       |- Overloaded  DeadlineExceeded  EngineFailed

Each class carries its HTTP status, a stable `code` and a title; `problem` turns an instance into the body of
an `application/problem+json` answer (RFC 9457). The text of an error tells what was wrong and what would be
right; it never repeats a path, a library's message or the client's input, but for the name of a form's part
or of an option that is wrong (`wording`).

Longer than other modules: it is one table, and a client meets errors of all branches alike.
"""

from typing import Any, ClassVar, Literal


def document(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    """Return the members of a problem document (RFC 9457, section 3.1); `error` is what clients of other
    servers read.
    """
    told = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    return told | {"error": detail}


class StriateError(Exception):
    """The root. `detail` is for the client, in whole sentences."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    expected: ClassVar[bool] = False
    """Whether load or somebody else's fault brings about a status from 500 on. It is counted, but is no bug:
    a traceback each would cost more than the answer, and would let anyone fill the log."""
    retry_after: int | None = None
    """Seconds after which to ask again: of every 429 and 503, which are about the moment."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def problem(self) -> dict[str, Any]:
        """Return the members of the problem document, without the request's own."""
        return document(self.status, self.code, self.title, self.detail)

    def headers(self) -> dict[str, str]:
        """Return the headers that the answer has because of this error."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class ProtocolError(StriateError):
    """What came in over the connection is no request that can be taken. It is closed after the answer."""


class MalformedRequest(ProtocolError):
    """Not HTTP/1.1, or of more than one meaning (RFC 9112)."""

    status, code, title = 400, "malformed_request", "Malformed request"


class RequestTimeout(ProtocolError):
    """The request did not arrive in time."""

    status, code, title = 408, "request_timeout", "Request timeout"


class TargetTooLong(ProtocolError):
    """The address in the request line is longer than allowed."""

    status, code, title = 414, "target_too_long", "Request target too long"


class HeadTooLarge(ProtocolError):
    """Request line and headers have more bytes than allowed."""

    status, code, title = 431, "head_too_large", "Request head too large"


class TooManyHeaders(ProtocolError):
    """More headers than allowed."""

    status, code, title = 431, "headers_too_many", "Too many headers"


class MethodUnknown(ProtocolError):
    """A method that nothing here takes at any address."""

    status, code, title = 501, "method_not_implemented", "Method not implemented"


class CodingUnknown(ProtocolError):
    """A transfer coding other than chunked."""

    status, code, title = 501, "transfer_coding_not_implemented", "Transfer coding not implemented"


class TooManyConnections(ProtocolError):
    """As many connections as allowed are busy."""

    status, code, title = 503, "too_many_connections", "Too many connections"
    retry_after = 1


class ShuttingDown(ProtocolError):
    """The process is about to end, and the request was not complete by then."""

    status, code, title = 503, "shutting_down", "Shutting down"
    expected = True
    retry_after = 1


class AccessError(StriateError):
    """Who asks, and whether they may."""


class Unauthorized(AccessError):
    """No key, or none that is let in. `key_was_sent` decides what WWW-Authenticate says (RFC 6750, 3.1)."""

    status, code, title = 401, "unauthorized", "Unauthorized"

    def __init__(self, detail: str, *, key_was_sent: bool = False) -> None:
        super().__init__(detail)
        self.key_was_sent = key_was_sent

    def headers(self) -> dict[str, str]:
        """Return the headers of any error, and the challenge."""
        fault = ', error="invalid_token"' if self.key_was_sent else ""
        return {**super().headers(), "WWW-Authenticate": f'Bearer realm="striate"{fault}'}


class Forbidden(AccessError):
    """A right key whose roles are for something else."""

    status, code, title = 403, "forbidden", "Forbidden"


class TooManyRequests(AccessError):
    """More than this key or this address may ask. `retry_after` is in seconds."""

    status, code, title = 429, "too_many_requests", "Too many requests"
    retry_after: int

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class IntakeError(StriateError):
    """The request's body or headers."""


class EmptyBody(IntakeError):
    """There is nothing to look at."""

    status, code, title = 400, "empty_body", "Empty body"


class MalformedBody(IntakeError):
    """The body is not what its Content-Type says."""

    status, code, title = 400, "malformed_body", "Malformed body"


class UnsupportedMediaType(IntakeError):
    """A Content-Type or Content-Encoding that is not taken."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class CodingNotTaken(IntakeError):
    """A Content-Encoding that is not taken where others are."""

    status, code, title = 415, "content_coding_not_taken", "Content coding not taken"

    def headers(self) -> dict[str, str]:
        """Return the headers of any error, and what would be taken (RFC 9110, section 15.5.16)."""
        return {**super().headers(), "Accept-Encoding": "gzip, deflate"}


class PayloadTooLarge(IntakeError):
    """More bytes than allowed."""

    status, code, title = 413, "payload_too_large", "Payload too large"


class TooManyImages(IntakeError):
    """More images in one request than allowed."""

    status, code, title = 413, "too_many_images", "Too many images"


class NotAcceptable(IntakeError):
    """The Accept header asks for what this request cannot be answered with."""

    status, code, title = 406, "not_acceptable", "Not acceptable"


class ParameterError(StriateError):
    """A query parameter is unknown or out of range."""

    status, code, title = 422, "invalid_parameter", "Invalid parameter"


class NotOffered(StriateError):
    """Clients of other servers may ask for it; the text says in one sentence what there is instead."""

    status, code, title = 501, "not_offered", "Not offered"
    expected = True


class ImageError(StriateError):
    """One image; the others of the request are answered all the same."""

    status = 422


class NotAnImage(ImageError):
    """Bytes of no format that is taken."""

    status, code, title = 415, "not_an_image", "Not an image"


class BrokenImage(ImageError):
    """An image format, but the data is damaged or cut short."""

    status, code, title = 422, "broken_image", "Broken image"


class ImageTooLarge(ImageError):
    """More pixels than allowed, told by the header alone."""

    status, code, title = 413, "image_too_large", "Image too large"


class ImageTooSmall(ImageError):
    """Too small or too narrow to be a picture of something."""

    status, code, title = 422, "image_too_small", "Image too small"


class Unanswerable(ImageError):
    """The model's numbers for this image are not finite."""

    status, code, title = 422, "unanswerable_image", "Unanswerable image"


class ImageTooCostly(ImageError):
    """Decoding takes longer than allowed."""

    status, code, title = 422, "image_too_costly", "Image too costly"


class DecoderCrashed(ImageError):
    """The process that decoded the image was lost: perhaps by the image, perhaps not."""

    status, code, title = 503, "decoder_crashed", "Decoder crashed"
    expected = True
    retry_after = 1


class RepositoryError(StriateError):
    """Which models there are."""


class ModelNotFound(RepositoryError):
    """No live model of that name."""

    status, code, title = 404, "model_not_found", "Model not found"


class VersionNotFound(RepositoryError):
    """The model lives, but not in that version."""

    status, code, title = 404, "version_not_found", "Version not found"


class WrongTask(RepositoryError):
    """The model does something else than the endpoint."""

    status, code, title = 400, "wrong_task", "Wrong task"


class NotReady(RepositoryError):
    """The models are still being loaded."""

    status, code, title = 503, "not_ready", "Not ready"
    expected = True
    retry_after = 2


class VersionRefused(RepositoryError):
    """A version failed a check on its way in. `detail` is the reason, for operators.

    `kind` tells when to try again: `lasting`, once its files have changed; `passing`, after a while;
    `incomplete`, as lasting, but its files may still be on their way.
    """

    code = "version_refused"

    def __init__(self, detail: str, kind: Literal["lasting", "passing", "incomplete"] = "lasting") -> None:
        super().__init__(detail)
        self.kind = kind


class PolicyInvalid(RepositoryError):
    """A policy that says which versions are wanted is not one, or asks for what is not there."""

    status, code, title = 422, "invalid_policy", "Invalid policy"


class PolicyNotKept(RepositoryError):
    """The policy cannot be written beside the model."""

    status, code, title = 409, "policy_not_kept", "Policy not kept"


class LocalOnly(RepositoryError):
    """An address that is answered on this machine only."""

    status, code, title = 403, "local_only", "Local only"


class BatchError(StriateError):
    """Between the tensor and its row."""


class Overloaded(BatchError):
    """The queue is full. `retry_after` is in seconds."""

    status, code, title = 503, "overloaded", "Overloaded"
    expected = True
    retry_after: int

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class DeadlineExceeded(BatchError):
    """The time that the client or the service gave this request has passed."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"
    expected = True


class EngineFailed(BatchError):
    """The engine raised."""

    status, code, title = 500, "engine_failed", "Engine failed"
