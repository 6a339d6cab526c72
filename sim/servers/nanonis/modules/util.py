"""The modules Util and Piezo."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from drivers.nanonis.commands import SIMULATED_PRODUCT
from sim.servers.nanonis.handlers import NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.settings import Settings

_PERIODS_S = (1e-4, 10.0)
RT_FREQUENCY_HZ = 20_000.0


class Util:
    """What the controller says of itself and of its scanner.

    Attributes:
        session_path: the folder that scans are saved in.
    """

    def __init__(
        self, instrument: Instrument, settings: Settings, release: int, session_path: Path
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._release = release
        self.session_path = session_path
        # What is shown can be changed by clients; the scanner itself cannot.
        self._range_m = instrument.world.range_m

    @command("Util.VersionGet")
    async def own_version(self, _: Values) -> Values:
        """Product and releases; says that this is a simulation, and how fast it runs."""
        return {
            "product_line": SIMULATED_PRODUCT,
            "version": f"{version('tipsmith')} time_scale={self._instrument.clock.scale:g}",
            "host_release": self._release,
            "engine_release": self._release,
        }

    @command("Util.SessionPathGet")
    async def path(self, _: Values) -> Values:
        """The session folder."""
        return {"path": str(self.session_path)}

    @command("Util.SessionPathSet")
    async def set_path(self, values: Values) -> Values:
        """Choose an existing folder."""
        path = Path(values["path"])
        if not (values["path"] and path.is_dir()):  # noqa: ASYNC240 - one look at a local disk
            raise Refusal("Session Path not valid.")
        self.session_path = path
        return NOTHING

    @command("Util.RTFreqGet")
    async def rt_frequency(self, _: Values) -> Values:
        """The rate of the real-time engine."""
        return {"frequency_hz": RT_FREQUENCY_HZ}

    @command("Util.AcqPeriodSet")
    async def set_period(self, values: Values) -> Values:
        """Set the acquisition period of the programming interface."""
        require("acquisition period", values["period_s"], *_PERIODS_S)
        self._settings.write("Util.AcqPeriod", values)
        return NOTHING

    @command("Util.Quit")
    async def quit(self, _: Values) -> Values:
        """Refused: a client must not end the server that others use."""
        raise Refusal("The simulated controller is ended where it was started.")

    @command("Piezo.RangeGet")
    async def range(self, _: Values) -> Values:
        """The range of the scanner."""
        return dict(zip(("x_m", "y_m", "z_m"), self._range_m, strict=True))

    @command("Piezo.RangeSet")
    async def set_range(self, values: Values) -> Values:
        """Change the range that is shown; the simulated scanner moves as far as it always did."""
        self._range_m = (values["x_m"], values["y_m"], values["z_m"])
        return NOTHING

    @command("Piezo.CalibrGet")
    async def calibration(self, _: Values) -> Values:
        """The calibration of the scanner; its high-voltage gain is 1."""
        return self._settings.read("Piezo.Sens")

    @command("Piezo.HVAInfoGet")
    async def amplifier(self, _: Values) -> Values:
        """Gains and outputs of the high-voltage amplifier."""
        gains = {f"gain_{axis}": 1.0 for axis in ("aux", "x", "y", "z")}
        return gains | {"xy_enabled": 1, "z_enabled": 1, "aux_enabled": 0}

    @command("Piezo.HVAStatusLEDGet")
    async def lamps(self, _: Values) -> Values:
        """Nothing is wrong with the amplifier."""
        return {"overheated": 0, "supply": 1, "hot": 0, "output": 1}
