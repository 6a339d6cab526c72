"""Opens microscopes by address: ``sim:au111``, ``nanonis://127.0.0.1:6501?release=13742``.

Drivers register under the entry-point group ``tipsmith.microscopes``: the scheme names a coroutine
function ``(Address) -> Microscope``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from urllib.parse import parse_qsl, urlsplit

from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import ConfigError, UnknownMicroscope
from drivers.microscope import Microscope

GROUP = "tipsmith.microscopes"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed microscope address.

    Attributes:
        text: the address as given.
        scheme: which driver.
        name: the part after ``sim:``, a name or a path; empty for network addresses.
        host: host of a network address.
        port: port of a network address, or None.
        options: the query, as text; the driver validates it and refuses what it does not know.
        seed: seed for simulated instruments.
    """

    text: str
    scheme: str
    name: str = ""
    host: str = ""
    port: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None

    @classmethod
    def parse(
        cls, text: str, *, options: Mapping[str, str] | None = None, seed: int | None = None
    ) -> Address:
        """Take an address apart; ``options`` given here yield to those in its query.

        Raises:
            ConfigError: the text is not an address.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"microscope address {text!r} cannot be read: {error}") from None
        if not parts.scheme:
            raise ConfigError(
                f"microscope address {text!r} has no scheme; "
                "expected for example sim:au111 or nanonis://127.0.0.1:6501"
            )
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return cls(
            text=text,
            scheme=parts.scheme,
            # Without a host it may be the path of a file, whose first slash counts.
            name=parts.path.strip("/") if parts.netloc else parts.path,
            host=parts.hostname or "",
            port=port,
            options={**(options or {}), **query},
            seed=seed,
        )


Opener = Callable[[Address], Awaitable[Microscope]]


async def open_microscope(
    text: str,
    *,
    limits: Limits | None = None,
    options: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> EnvelopedMicroscope:
    """Open the microscope at address ``text`` inside the envelope.

    Args:
        text: address such as ``sim:au111`` or ``nanonis://host:6501``.
        limits: the envelope, the built-in ceilings if None; what the instrument itself asks for
            narrows it.
        options: driver options, as in the query of an address; the query wins.
        seed: seed for simulated instruments.

    Raises:
        UnknownMicroscope: no driver serves the scheme.
        ConfigError: the address or an option is wrong.
        ConnectionFailed: the instrument does not answer.
    """
    address = Address.parse(text, options=options, seed=seed)
    drivers = {point.name: point for point in entry_points(group=GROUP)}
    if address.scheme not in drivers:
        known = ", ".join(f"{name}:" for name in sorted(drivers))
        raise UnknownMicroscope(
            f"no driver for {address.scheme!r} in microscope address {text!r}; known are {known}"
        )
    opener: Opener = drivers[address.scheme].load()
    return EnvelopedMicroscope(await opener(address), limits or Limits())
