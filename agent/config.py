"""The configuration file: TOML, units in the names, unknown keys are errors.

Nothing in it is needed: the defaults repair a simulated tip. ``[tip]``, ``[surface]`` and
``[limits]`` can only narrow the envelope.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from agent.places import DEFAULT_FILE, DEFAULT_STATE
from agent.telemetry.endpoint import guarded
from agent.toml import parse_toml, toml_section
from drivers.actions import Finite, MoveTo, Positive, TunnellingPoint
from drivers.complaints import complaint
from drivers.envelope import Limits, check_action, check_scan
from drivers.errors import ConfigError, Refused
from drivers.materials import Surface, TipMaterial, borne
from drivers.scan import Frame, ScanSettings
from policies.legal import ANYWHERE
from policies.plan import RepairPlan

ActionKind = Literal[
    "pulse", "indentation", "move_to", "coarse_move", "approach", "wait", "retune_feedback"
]
PolicyName = Literal["learned", "escalation"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a byte that is zero, which no path or address can")
    return text


#: A path, or an address.
Whereabouts = Annotated[str, AfterValidator(_without_nul)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MicroscopeSettings(_Section):
    """Which instrument.

    Attributes:
        uri: its address, such as ``sim:au111`` or ``nanonis://192.168.0.7:6501``.
        options: what its driver is told, such as ``bias_sign``; the driver refuses unknown ones.
    """

    uri: Whereabouts = "sim:au111"
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @property
    def driver_options(self) -> dict[str, str]:
        """The options as text, as in the query of an address."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.options.items()
        }


class LookSettings(_Section):
    """How a look at the tip is taken and when it is cut short.

    Attributes:
        pixels: points per line, a multiple of 16.
        lines: lines per scan.
        forward_s: time of one forward line (s).
        backward_s: time of one backward line (s).
        bias_v: sample bias (V).
        setpoint_pa: current setpoint (pA).
        stop_early: whether a scan that the scorer calls hopeless is cut short.
        least_share: share of its lines that are taken all the same: a spot to act on lies in them.
    """

    pixels: int = Field(96, ge=16, le=4096, multiple_of=16)
    lines: int = Field(96, ge=1, le=4096)
    forward_s: float = Field(0.15, gt=0, le=600)
    backward_s: float = Field(0.10, gt=0, le=600)
    bias_v: Finite = 0.5
    setpoint_pa: Positive = 50.0
    stop_early: bool = True
    least_share: float = Field(0.33, gt=0, le=1)

    @property
    def at(self) -> TunnellingPoint:
        """The tunnelling point of looks and, before and after them, of actions."""
        return TunnellingPoint(bias_v=self.bias_v, setpoint_a=self.setpoint_pa * 1e-12)

    @property
    def scan_s(self) -> float:
        """Time of a whole look (s)."""
        return self.lines * (self.forward_s + self.backward_s)

    def scan(self, frame: Frame) -> ScanSettings:
        """The scan that looks at ``frame``."""
        return ScanSettings(
            frame=frame,
            pixels=self.pixels,
            lines=self.lines,
            forward_s=self.forward_s,
            backward_s=self.backward_s,
            at=self.at,
        )


class RepairSettings(LookSettings, RepairPlan):
    """When a repair ends, how it looks at the tip, and how it moves.

    Attributes:
        travel_nm_per_s: speed on the way to the place of an action (nm/s).
    """

    travel_nm_per_s: Positive = 200.0


class TipSettings(_Section):
    """The tip at hand.

    Attributes:
        material: what it is made of; narrows the limits to what such tips bear.
    """

    material: TipMaterial = "unknown"


class SurfaceSettings(_Section):
    """The sample at hand.

    Attributes:
        name: what the tip is repaired on; narrows the limits to what such surfaces bear.
    """

    name: Surface = "unknown"


class PolicySettings(_Section):
    """Who chooses the repairs.

    Attributes:
        name: ``learned``, or the rule ``escalation`` that stands behind it.
    """

    name: PolicyName = "learned"


class JournalSettings(_Section):
    """Where runs are written.

    Attributes:
        directory: folder that gets one folder per run.
    """

    directory: Whereabouts = "runs"


class GuardianSettings(_Section):
    """The guardian process beside the agent.

    Attributes:
        state: file in which it says what it does; each instrument has one of its own.
        unattended: whether nobody watches; an instrument that cannot be guarded is then refused.
        lease_s: how often the control loop gives a sign of life (s).
        lost_after_s: silence after which the tip is withdrawn (s).
        grace_s: silence allowed once after the guardian itself was not run for a while (s).
        answer_s: time for an answer of the instrument to the guardian (s).
        connect_s: time for the guardian's connection to it (s).
        retry_s: pause between two rounds of withdrawing (s).
        watch_s: pause between the guardian's looks at the instrument (s).
        blind_after_s: time without an answer to them after which the agent stops (s).
    """

    state: Whereabouts = str(DEFAULT_STATE)
    unattended: bool = False
    lease_s: float = Field(0.1, ge=0.02, le=1)
    lost_after_s: float = Field(0.5, ge=0.2, le=5)
    grace_s: float = Field(0.25, ge=0.1, le=1)
    answer_s: float = Field(0.15, ge=0.05, le=1)
    connect_s: float = Field(0.3, ge=0.05, le=2)
    retry_s: float = Field(0.5, ge=0.1, le=5)
    watch_s: float = Field(1.0, ge=0.2, le=10)
    blind_after_s: float = Field(3.0, ge=1, le=30)

    @model_validator(mode="after")
    def _renewed_often_enough(self) -> Self:
        if self.lost_after_s < 3 * self.lease_s:
            raise ValueError("lost_after_s must be at least three times lease_s")
        if self.grace_s < 2 * self.lease_s:
            raise ValueError("grace_s must be at least twice lease_s")
        return self

    @property
    def timing(self) -> dict[str, float]:
        """What the guardian itself is told of it."""
        ours = {"state", "unattended", "lease_s"}
        return {name: value for name, value in self if name not in ours}


class ApprovalSettings(_Section):
    """Supervised mode: somebody is asked before actions, and nothing but a yes lets them pass.

    Attributes:
        supervised: whether somebody is asked at all.
        ask: kinds of action that are asked about.
        timeout_s: time to answer (s); then it is denied.
    """

    supervised: bool = False
    ask: tuple[ActionKind, ...] = Field(
        ("pulse", "indentation", "coarse_move"), min_length=1, strict=False
    )
    timeout_s: float = Field(120.0, ge=5, le=3600)


class WatchdogSettings(_Section):
    """When the watches beside a run are set off.

    Attributes:
        current_ratio: current that is too much, in setpoints.
        max_current_pa: the same in itself (pA), below what the preamplifier clips at; the smaller
            counts, and never less than one and a half setpoints.
        z_margin: share of the z range, at either end of it, in which nothing is begun.
        stall_s: wall time without a line after which a scan counts as stalled (s), at least.
        stall_lines: the same in times of a line.
        silent_s: wall time for the instrument to tell its state (s).
        clock_jump_s: jump of this computer's clock that is told (s).
        min_disk_mib: room that the disk of the journal must have (MiB).
        min_memory_mib: memory that this computer should have left (MiB).
    """

    current_ratio: float = Field(20.0, gt=1, le=1000)
    max_current_pa: float = Field(9_000.0, ge=1, le=1_000_000)
    z_margin: float = Field(0.02, ge=0, lt=0.5)
    stall_s: float = Field(120.0, ge=1, le=3600)
    stall_lines: float = Field(10.0, ge=2, le=1000)
    silent_s: float = Field(30.0, ge=1, le=600)
    clock_jump_s: float = Field(5.0, ge=1, le=3600)
    min_disk_mib: float = Field(8.0, ge=1)
    min_memory_mib: float = Field(128.0, ge=0)


class TelemetrySettings(_Section):
    """Who may watch a run from elsewhere.

    Attributes:
        publish: address at which it is told, such as ``tcp://127.0.0.1:6510``; if None, nothing
            listens.
        keys: folder of the keys; needed where others than this computer reach the address.
    """

    publish: Whereabouts | None = None
    keys: Whereabouts | None = None

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.publish is not None:
            guarded(self.publish, keyed=self.keys is not None)
        return self


#: The watches where nothing is configured.
USUAL_WATCHES = WatchdogSettings()


class Config(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", strict=True)

    microscope: MicroscopeSettings = MicroscopeSettings()
    limits: dict[str, float] = Field(default_factory=dict)
    tip: TipSettings = TipSettings()
    surface: SurfaceSettings = SurfaceSettings()
    repair: RepairSettings = RepairSettings()
    policy: PolicySettings = PolicySettings()
    journal: JournalSettings = JournalSettings()
    guardian: GuardianSettings = GuardianSettings()
    approval: ApprovalSettings = ApprovalSettings()
    watchdogs: WatchdogSettings = USUAL_WATCHES
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """One source only: limits of an instrument must not depend on a stray variable."""
        return (init_settings,)

    @property
    def envelope(self) -> Limits:
        """The built-in ceilings, narrowed by ``[limits]`` and to what tip and surface bear.

        Raises:
            ConfigError: a limit that is unknown or wider than its ceiling.
        """
        return borne(Limits().narrowed(**self.limits), self.tip.material, self.surface.name)

    def overridden(
        self,
        *,
        uri: str | None = None,
        max_actions: int | None = None,
        directory: Path | None = None,
        unattended: bool = False,
        supervised: bool = False,
    ) -> Config:
        """This configuration with what the command line says instead; None changes nothing.

        Raises:
            ConfigError: somebody is to be asked where nobody watches.
        """
        microscope, repair, journal = self.microscope, self.repair, self.journal
        guardian, approval = self.guardian, self.approval
        if supervised:
            approval = approval.model_copy(update={"supervised": True})
        if unattended:
            guardian = guardian.model_copy(update={"unattended": True})
        if uri is not None:
            microscope = microscope.model_copy(update={"uri": uri})
        if max_actions is not None:
            repair = repair.model_copy(update={"max_actions": max_actions})
        if directory is not None:
            journal = journal.model_copy(update={"directory": str(directory)})
        changed = {
            "microscope": microscope,
            "repair": repair,
            "journal": journal,
            "guardian": guardian,
            "approval": approval,
        }
        _check_watched(guardian, approval)
        return self.model_copy(update=changed)

    def to_toml(self) -> str:
        """What is in effect, every limit included, as a file that ``load_config`` reads back."""
        # TOML has no word for nothing.
        sections = self.model_dump(mode="json", exclude_none=True)
        sections["limits"] = self.envelope.model_dump()
        return "\n".join(toml_section(name, values) for name, values in sections.items())


def load_config(path: Path | None = None) -> Config:
    """Read the configuration.

    Args:
        path: the file; if None, ``tipsmith.toml`` in the current folder, or the defaults where
            there is none.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown, malformed, wider than
            a ceiling, or such that the envelope would refuse the looks.
    """
    if path is None:
        if not DEFAULT_FILE.exists():
            return Config()
        path = DEFAULT_FILE
    try:
        config = Config.model_validate(_read(path))
        _check_repair(config.repair, config.envelope)
        _check_watched(config.guardian, config.approval)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})") from None
    except RecursionError:
        raise ConfigError("is nested too deeply; expected tables of plain values") from None
    except ValueError as error:
        raise ConfigError(f"is not TOML: {error}") from None


def _check_repair(repair: RepairSettings, limits: Limits) -> None:
    side = repair.frame_nm * 1e-9
    frame = Frame(x_m=0.0, y_m=0.0, width_m=side, height_m=side)
    travel = MoveTo(x_m=0.0, y_m=0.0, speed_m_per_s=repair.travel_nm_per_s * 1e-9)
    try:
        check_scan(repair.scan(frame), ANYWHERE, limits)
        check_action(travel, ANYWHERE, limits)
    except Refused as refusal:
        raise ConfigError(f"[repair]: {refusal}") from None


def _check_watched(guardian: GuardianSettings, approval: ApprovalSettings) -> None:
    if guardian.unattended and approval.supervised:
        raise ConfigError(
            "supervised and unattended exclude each other: either somebody answers before actions "
            "or nobody watches; give only one of them, on the command line and in the file"
        )


def _sentence(error: ValidationError) -> str:
    problem = error.errors()[0]
    section, *rest = map(str, problem["loc"])
    if problem["type"] != "extra_forbidden":
        where = f"[{section}] {rest[0]}" if rest else f"[{section}]"
        tells = rest or problem["type"] == "value_error"
        expected = complaint(error).lower() if tells else "expected a table"
        return f"{where}: {expected}, got {json.dumps(problem['input'], default=str)}"
    if not rest:
        return f"unknown section [{section}]; known are {', '.join(Config.model_fields)}"
    known = Config.model_fields[section].annotation
    names = known.model_fields if isinstance(known, type) and issubclass(known, BaseModel) else ()
    return f"[{section}] has no key {rest[0]!r}; known are {', '.join(names)}"
