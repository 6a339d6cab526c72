"""Where the configuration and the guardian's state file are; imports nothing that loads slowly."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from agent.toml import parse_toml

#: The configuration where none is named.
DEFAULT_FILE = Path("tipsmith.toml")
#: The guardian's state file where none is configured.
DEFAULT_STATE = platformdirs.user_state_path("tipsmith") / "guardian.json"


def guardian_state(config_file: Path | None = None) -> Path:
    """The guardian's state file; whatever else the configuration holds is not looked at.

    Args:
        config_file: the configuration; if None, ``DEFAULT_FILE``, which may be missing.

    Raises:
        ValueError: the configuration cannot be read, or what it calls the state file is no text.
    """
    path = config_file or DEFAULT_FILE
    try:
        section = parse_toml(path.read_bytes()).get("guardian", {})
    except FileNotFoundError:
        if config_file is None:
            return DEFAULT_STATE
        raise ValueError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None
    state = section.get("state", str(DEFAULT_STATE)) if isinstance(section, dict) else None
    if not isinstance(state, str) or "\0" in state:
        raise ValueError(f"{path} has no path of a file as [guardian] state")
    return Path(state)
