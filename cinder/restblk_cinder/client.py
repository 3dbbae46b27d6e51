"""The daemon's API with Cinder's errors."""

from cinder import exception

from restblk_brick import api


class ApiError(exception.VolumeBackendAPIException, api.Refusal):
    """What the daemon refused, or why it did not answer."""

    def __init__(self, kind: str, message: str,
                 hint: str | None = None) -> None:
        self.kind = kind
        exception.VolumeBackendAPIException.__init__(
            self, message=f'{message} ({hint})' if hint else message)


class Client(api.Client):
    """Requests to one daemon."""

    error = ApiError
