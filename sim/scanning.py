"""Scanning: the lines of a picture as they come, one by one or many at once."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable

import numpy as np

from drivers.errors import CommandFailed
from drivers.microscope import Feedback
from drivers.scan import Scan, ScanLine, ScanSettings
from sim.rig import Rig
from sim.scans.imaging import NM, Raster
from sim.scans.kernels import Doubles, Floats
from sim.scans.signal_chain import STATE

# Lines rendered at once while somebody listens: more are faster, and lost if the tip changes.
AHEAD = 16


class Scanner(Rig):
    """A rig that moves over the sample and scans it.

    Attributes:
        changed_lines: lines of the newest scan, counted in time, on which the apex changed.
    """

    changed_lines: tuple[int, ...] = ()

    def move(self, x_m: float, y_m: float, speed_m_per_s: float) -> None:
        """Move to (x, y) at ``speed_m_per_s``; takes its time and creeps after.

        Raises:
            CommandFailed: the target is out of range, or the speed is not positive.
        """
        reach = self.range_m[0] / 2
        if not (abs(x_m) <= reach and abs(y_m) <= reach and speed_m_per_s > 0):
            raise CommandFailed(
                f"cannot move to ({x_m / NM:.1f}, {y_m / NM:.1f}) nm at {speed_m_per_s / NM:.1f} "
                f"nm/s: the range is {reach / NM:.0f} nm to every side, the speed positive"
            )
        start = self.x_m, self.y_m
        dx, dy = x_m - self.x_m, y_m - self.y_m
        self.x_m, self.y_m = x_m, y_m
        self.advance(math.hypot(dx, dy) / speed_m_per_s)
        if dx or dy:
            self._junction.motion.moved(self.time_s, dx / NM, dy / NM, 0.0)
        if self._grips():
            self._drag(start, (x_m, y_m))

    def lines(self, settings: ScanSettings) -> Generator[ScanLine]:
        """Scan; each line is rendered when asked for and takes its time.

        Closing the iterator stops the scan. What changes between lines (tip, bias, gains) shows
        from the next line on.

        Raises:
            ContactLost: the tip is withdrawn, before or during the scan.
            CommandFailed: the feedback is held, or the frame leaves the range.
        """
        self._go_to(settings)
        self.scanning = True
        try:
            yield from self._scan(settings, self._noise_seed())
        finally:
            self.scanning = False

    def scan(self, settings: ScanSettings, lines: int | None = None) -> Scan:
        """Scan at once: what ``lines`` add up to when nobody acts in between.

        Args:
            settings: the scan.
            lines: how many of its lines; all if None.

        Raises:
            ContactLost: the tip is withdrawn.
            CommandFailed: the feedback is held, or the frame leaves the range.
        """
        *_, heights = self.parts(settings, [settings.lines if lines is None else lines])
        return picture(settings, heights)

    def parts(self, settings: ScanSettings, ends: Iterable[int]) -> Generator[Floats]:
        """Scan in parts, each at once; closing the iterator stops the scan.

        Args:
            settings: the scan.
            ends: growing numbers of lines, at most all, after which a part ends.

        Yields:
            Heights (nm) of all lines so far, first to last, there and back; (lines, 2, pixels).

        Raises:
            ContactLost: the tip is withdrawn, before or during the scan.
            CommandFailed: the feedback is held, or the frame leaves the range.
        """
        self._go_to(settings)
        self.scanning = True
        try:
            yield from self._parts(settings, ends, self._noise_seed())
        finally:
            self.scanning = False

    def _go_to(self, settings: ScanSettings) -> None:
        """Stand at the start of a scan, tunnelling as it wants."""
        self.changed_lines = ()
        self._need_feedback()
        self._need_reach(settings)
        self.sample.heal(self.time_s)
        self.tunnel(settings.at)
        self.move(*_line_start(settings, 0), self.preset.controller.move_nm_per_s * NM)

    def _scan(self, settings: ScanSettings, seed: int) -> Generator[ScanLine]:
        heights = np.empty((settings.lines, 2, settings.pixels), np.float32)
        states = np.empty((settings.lines + 1, STATE))
        corrugation = np.empty(settings.lines)
        raster, key, ready = self._raster(settings, 0), self._imaging_key(), 0
        states[0] = raster.settled_state()
        for index in range(settings.lines):
            self._need_feedback()
            # Whoever listens may act between lines; then the rest is worked out anew.
            late = abs(raster.start_s(index) - self.time_s) > 1e-6
            if late or key != self._imaging_key():
                raster, key, ready = self._raster(settings, index), self._imaging_key(), index
            if index == ready:
                ready = min(index + (1 if self._grips() else AHEAD), settings.lines)
                ahead = slice(index, ready)
                corrugation[ahead] = raster.render(index, states[index:], seed, heights[ahead])
            self.time_s += settings.line_s
            self.x_m, self.y_m = _line_start(settings, index)
            old, new = self.tip, self._laws.scan_line(self.tip, float(corrugation[index]))
            self._junction.tip = new
            if new is not old:
                self.changed_lines += (index,)
                self._take_along(settings, index, float(corrugation[index]))
                self._split(settings, raster.start_s(index), index, states[index:], seed, heights)
            self._sweep_line(settings, index)
            out = heights[index] * np.float32(NM)
            yield ScanLine(index, settings.row_of(index), out[0], out[1], self.time_s)

    def _parts(self, settings: ScanSettings, ends: Iterable[int], seed: int) -> Generator[Floats]:
        heights = np.empty((settings.lines, 2, settings.pixels), np.float32)
        states = np.empty((settings.lines + 1, STATE))
        raster, key, index = self._raster(settings, 0), self._imaging_key(), 0
        line_s = settings.line_s
        states[0] = raster.settled_state()
        for end in ends:
            self._need_feedback()
            while index < end:
                late = abs(raster.start_s(index) - self.time_s) > 1e-6
                if late or key != self._imaging_key():
                    raster, key = self._raster(settings, index), self._imaging_key()
                stop = index + 1 if self._grips() else end
                corrugation = raster.render(index, states[index:], seed, heights[index:stop])
                old = self.tip
                done, new = self._laws.scan_lines(old, corrugation)
                self._junction.tip = new
                time_s = self.time_s
                # Line by line, to the last bit: their number times one is not quite their sum.
                for _ in range(done):
                    time_s += line_s
                self.time_s = time_s
                last = index + done - 1
                if new is not old:
                    self.changed_lines += (last,)
                    self._take_along(settings, last, float(corrugation[done - 1]))
                    self._split(settings, raster.start_s(last), last, states[last:], seed, heights)
                self._sweep_line(settings, last)
                index += done
            self.x_m, self.y_m = _line_start(settings, end - 1)
            yield heights[:end]

    def _split(
        self,
        settings: ScanSettings,
        start_s: float,
        index: int,
        states: Doubles,
        seed: int,
        heights: Floats,
    ) -> None:
        """Let a change of the tip show from somewhere on its own line on, if the preset has it so.

        ``states`` begins before the line; the one after it becomes that of the new tip.
        """
        if not self.preset.changes.within_lines:
            return
        line, fresh = heights[index], np.empty_like(heights[:1])
        self._raster(settings, index, start_s).render(index, states[:2], seed, fresh)
        at_s, pixels = self._laws.moment() * settings.line_s, settings.pixels
        there = min(at_s / settings.forward_s, 1.0) * pixels
        back = max(at_s - settings.forward_s, 0.0) / settings.backward_s * pixels
        line[0, round(there) :] = fresh[0, 0, round(there) :]
        # The way back is stored backwards: what comes later lies in the columns before.
        line[1, : pixels - round(back)] = fresh[0, 1, : pixels - round(back)]

    def _take_along(self, settings: ScanSettings, index: int, corrugation_nm: float) -> None:
        """Pick up what the tip ran into when it changed on this line, if the preset has it so."""
        law = self.preset.changes
        if not law.takes_nm or corrugation_nm <= law.rough_nm:
            return
        ends = (_line_start(settings, index, end) for end in (False, True))
        start, end = (self._junction.place_nm(x / NM, y / NM, self.time_s) for x, y in ends)
        self.sample.take_adatoms(start, end, law.takes_nm)

    def _sweep_line(self, settings: ScanSettings, index: int) -> None:
        """Take along what the tip came too close to, there and back."""
        if self._grips():
            start, end = _line_start(settings, index), _line_start(settings, index, end=True)
            self._drag(start, end)
            self._drag(end, start)

    def _raster(self, settings: ScanSettings, first: int, start_s: float | None = None) -> Raster:
        gains = self.p_gain_m / NM, self.time_constant_s
        scene = self._junction.scene(self._noise, self.bias_v, self.setpoint_a, gains)
        return Raster(scene, settings, first, self.time_s if start_s is None else start_s)

    def _noise_seed(self) -> int:
        """Counter that the noise of the next scan starts from."""
        self._scans += 1
        return int(np.random.default_rng([*self._scan_seed, self._scans]).integers(2**32))

    def _imaging_key(self) -> tuple[object, ...]:
        """What a raster depends on besides the settings and the time."""
        gains = self.p_gain_m, self.time_constant_s
        return (self.tip, self.sample.revision, self.bias_v, self.setpoint_a, *gains)

    def _need_feedback(self) -> None:
        self.need_contact("scan")
        if self.feedback is not Feedback.ON:
            raise CommandFailed("cannot scan: the feedback is held; switch it on first")

    def _need_reach(self, settings: ScanSettings) -> None:
        frame, reach = settings.frame, self.range_m[0] / 2
        half = frame.width_m / 2, frame.height_m / 2
        corners = (frame.to_sample(i * half[0], j * half[1]) for i in (-1, 1) for j in (-1, 1))
        if any(max(abs(x), abs(y)) > reach for x, y in corners):
            raise CommandFailed(f"frame {frame} leaves the range of {reach / NM:.0f} nm per side")


def _line_start(settings: ScanSettings, index: int, end: bool = False) -> tuple[float, float]:
    """Where the scanner stands before and after line ``index`` (m); or where it turns, its end."""
    frame = settings.frame
    v = frame.height_m * (0.5 - (settings.row_of(index) + 0.5) / settings.lines)
    return frame.to_sample((0.5 if end else -0.5) * frame.width_m, v)


def picture(settings: ScanSettings, heights_nm: Floats) -> Scan:
    """The scan that lines add up to: heights (nm) as ``Scanner.parts`` yields them."""
    scan = Scan.blank(settings)
    done = heights_nm * np.float32(NM)
    # Rows from the top; a scan upwards begins with the last.
    for picture, way in ((scan.forward, 0), (scan.backward, 1)):
        if picture is not None:
            picture[:: 1 if settings.direction == "down" else -1][: len(done)] = done[:, way]
    return scan
