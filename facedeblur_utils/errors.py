"""The one exception of the package that is shown to users as a single line."""


class StudyError(Exception):
    """What is wrong, where, and what to do, in one line; command lines print it and exit with `exit_code`."""

    exit_code = 1


class UsageError(StudyError):
    """A command, profile or parameter that can't be used as given."""

    exit_code = 2
