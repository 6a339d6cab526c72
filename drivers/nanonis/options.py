"""What the address of a Nanonis controller may say about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from drivers.complaints import complaint
from drivers.errors import ConfigError
from drivers.nanonis.client import DEFAULT_TIMEOUT_S
from drivers.nanonis.codes import MotorDirection
from drivers.registry import Address

DEFAULT_PORT = 6501
#: The manufacturer's defaults put the logger's stream on 6590, 89 above the first command port.
LOGGER_OFFSET = 89

Port = Annotated[int, Field(gt=0, lt=65536)]


def _plus_or_minus_one(value: int) -> int:
    if value not in (1, -1):
        raise ValueError("must be 1 or -1")
    return value


def _with_plus(value: object) -> object:
    # In a query "+" stands for a space, so "Z+" arrives as "Z ".
    return value.replace(" ", "+") if isinstance(value, str) else value


class NanonisOptions(BaseModel):
    """The query of a Nanonis address.

    Attributes:
        release: release whose layouts to speak, instead of the one the controller names.
        bias_sign: sample potential = sign * the controller's bias.
        z_retract: motor direction that takes the tip away from the sample, ``Z+`` or ``Z-``. It
            differs between rigs, so there is no default, and no coarse retract without it.
        time_scale: only for the simulated controller: instrument seconds per second, as a check.
        logger_port: port of the TCP logger's stream.
        timeout_s: wall-clock time allowed for an answer (s).
        motor_group: group of the coarse motor, as the controller numbers them.
        safe_tip_threshold_pa: current above which SafeTip withdraws the tip (pA); SafeTip is
            configured and switched on before the first scan or action and put back at the end.
            Without it, SafeTip is left as the operator has it.
        flip_backward: whether the controller stores backward lines in the order of their recording.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Annotated[int, Field(gt=0)] | None = None
    bias_sign: Annotated[int, AfterValidator(_plus_or_minus_one)] = 1
    z_retract: Annotated[Literal["Z+", "Z-"], BeforeValidator(_with_plus)] | None = None
    time_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    logger_port: Port | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] = DEFAULT_TIMEOUT_S
    motor_group: Annotated[int, Field(ge=0, le=5)] = 0
    safe_tip_threshold_pa: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    flip_backward: bool = False

    @property
    def retract_direction(self) -> MotorDirection:
        """The motor direction that takes the tip away from the sample.

        Raises:
            ConfigError: the address does not say.
        """
        if self.z_retract is None:
            raise ConfigError(
                "coarse motion needs to know which motor direction retracts the tip on this rig; "
                "add z_retract=Z%2B or z_retract=Z- to the microscope's address"
            )
        return MotorDirection.Z_PLUS if self.z_retract == "Z+" else MotorDirection.Z_MINUS


def first_port(address: Address) -> int:
    """The first of the controller's four ports.

    Raises:
        ConfigError: the ports that follow it, up to the logger's, do not exist.
    """
    port = DEFAULT_PORT if address.port is None else address.port
    if not 0 < port < 65536 - LOGGER_OFFSET:
        raise ConfigError(
            f"port {port} of {address.text!r} cannot be the first of a Nanonis controller's; "
            f"expected one from 1 to {65535 - LOGGER_OFFSET}, usually {DEFAULT_PORT}"
        )
    return port


def read_options(address: Address) -> NanonisOptions:
    """The options of a Nanonis address.

    Raises:
        ConfigError: the address has no host, or an option is unknown or malformed.
    """
    if not address.host or address.name:
        raise ConfigError(
            f"microscope address {address.text!r} is not one of a Nanonis controller; "
            f"expected for example nanonis://127.0.0.1:{DEFAULT_PORT}"
        )
    try:
        return NanonisOptions.model_validate(dict(address.options))
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        known = ", ".join(NanonisOptions.model_fields)
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"unknown option {option!r} for nanonis; known are {known}") from None
        raise ConfigError(f"option {option!r} of {address.text!r}: {complaint(error)}") from None
