"""Errors of the operator: what is wrong with an object, and what the API server answered."""


class OperatorError(Exception):
    """Base of the operator's own errors."""


class InvalidObjectError(OperatorError):
    """The object, or something that it names, must be changed before a run can start; the message says how."""

    def __init__(self, message: str, *, kind: str = "spec") -> None:
        self.kind = kind
        """``spec``, or the kind of the object that is missing: ``secret``, ``pvc``, ``ca``, ``policy`` and so on."""
        super().__init__(message)


class StartRefusedError(OperatorError):
    """The operator must not start here: another controller is in charge, or a setting is wrong."""


class ApiError(OperatorError):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float = 0) -> None:
        self.status, self.reason, self.retry_after = status, reason, retry_after
        super().__init__(message or reason or f"HTTP {status}")

    @property
    def is_missing(self) -> bool:
        """The object, or its kind, does not exist."""
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        """The object was changed meanwhile, or exists already."""
        return self.status == 409

    @property
    def is_expired(self) -> bool:
        """The resource version is too old to watch from."""
        return self.status == 410


class UnreachableError(OperatorError):
    """The API server could not be reached, or the connection broke."""


__all__ = ["ApiError", "InvalidObjectError", "OperatorError", "StartRefusedError", "UnreachableError"]
