"""The errors that an operator sees, each with its exit status.

A bad photograph is not an error but a value (`values.Refusal`): it never stops the others.
"""


class GdwatchError(Exception):
    """Something could not be done: exit status 1.

    message: what is wrong, and with which file, setting or row; lower case, no full stop.
    hint: what to do about it; may be empty.
    """

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(GdwatchError):
    """The command was used wrongly: exit status 2."""

    status = 2


class HeldError(GdwatchError):
    """Another gdwatch holds this root or folder: exit status 75."""

    status = 75


class ActionNeeded(GdwatchError):  # noqa: N818 - named for what the operator must do
    """A person must act before this can work (a setting, the model, a folder): exit status 78."""

    status = 78


class Trouble(GdwatchError):  # noqa: N818 - a state that may pass, not a failure
    """A disk, folder, device or database does not allow work now: a service pauses, a command ends.

    reason: one word for logs and `gdwatch status`: `disk_low`, `inbox_missing`, `database_busy`, …
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason
