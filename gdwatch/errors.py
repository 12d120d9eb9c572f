"""What an operator is told when something could not be done, and with which exit status.

A bad photograph is no error but a value (`values.Refusal`): it never stops the others.
"""


class GdwatchError(Exception):
    """Something could not be done: exit status 1.

    message: what was wrong, with the name of the thing, in lower case, without a full stop.
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


class ActionNeeded(GdwatchError):  # noqa: N818 - it names what follows, not what broke
    """A person must act before this can work (a setting, the model, a folder): exit status 78."""

    status = 78


class Trouble(GdwatchError):  # noqa: N818 - a state that passes, not a failure
    """The surroundings do not allow work at present; a service waits, a command gives up.

    reason: one word for logs and `gdwatch status`: `disk_low`, `inbox_missing`, `database_busy`, …
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason
