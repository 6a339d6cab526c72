"""Every error tipsmith raises on purpose, as one tree.

TipsmithError
    UserError                 the user's mistake; the command line exits with 2
        ConfigError           a setting that is unknown, malformed or wider than a ceiling
        UnknownMicroscope     a microscope address whose scheme no driver serves
        FileError             a file that cannot be read or written as what it should be
    Refused                   an action or scan outside the envelope; nothing was sent
    Denied                    an action that whoever was asked did not allow; nothing was sent
    InstrumentError           the instrument's side; the command line exits with 3
        ConnectionFailed      nobody answered, or the peer is not what was asked for
        ConnectionLost        the link broke, or an answer did not come in time
        ProtocolError         bytes that do not follow the protocol; the link is closed
        CommandFailed         the controller answered with an error of its own
        ApproachFailed        no tunnelling contact within the steps or the time allowed
        ContactLost           feedback or current lost while working
        OutcomeUnknown        an action was sent and its end was not seen; never repeat it
        SettingsChanged       somebody else has set what the agent had set; nothing was sent
        Alarm                 a watch over the instrument or this computer was set off
        GuardianLost          the guardian has died, has withdrawn the tip, or cannot reach it
"""

from __future__ import annotations


class TipsmithError(Exception):
    """Root of the tree; its text is one sentence for people."""

    exit_code = 1


class UserError(TipsmithError):
    """What the user asked for cannot be right."""

    exit_code = 2


class ConfigError(UserError):
    """A setting is unknown, malformed, or wider than its ceiling."""


class UnknownMicroscope(UserError):
    """No driver serves the scheme of this microscope address."""


class FileError(UserError):
    """A file is missing, damaged or of another kind than expected."""


class Refused(TipsmithError):
    """An action lies outside the envelope; it was not sent.

    Attributes:
        limit: name of the limit that refused it.
    """

    exit_code = 2

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class Denied(TipsmithError):
    """An action was not allowed by whoever was asked; it was not sent."""


class InstrumentError(TipsmithError):
    """The instrument, or the way to it, failed."""

    exit_code = 3


class ConnectionFailed(InstrumentError):
    """The instrument could not be reached, or is not what was asked for."""


class ConnectionLost(InstrumentError):
    """The link broke or an answer did not come in time."""


class ProtocolError(InstrumentError):
    """The peer sent bytes that do not follow the protocol."""


class CommandFailed(InstrumentError):
    """The controller refused a command and said why."""


class ApproachFailed(InstrumentError):
    """No tunnelling contact within the allowed steps or time."""


class ContactLost(InstrumentError):
    """The tunnelling contact or the feedback was lost while working."""


class OutcomeUnknown(InstrumentError):
    """An action left for the instrument and its end was not seen; it must not be repeated."""


class SettingsChanged(InstrumentError):
    """Somebody else has changed what was set here; it is not overwritten, and nothing was sent."""


class Alarm(InstrumentError):
    """A watch over the instrument or the computer was set off; the run cannot go on."""


class GuardianLost(InstrumentError):
    """The guardian beside the agent has died, has withdrawn the tip, or cannot reach it."""
