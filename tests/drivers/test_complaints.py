"""Trouble with settings in the words of whoever wrote the check."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from drivers.complaints import complaint, shown
from drivers.errors import ConfigError
from drivers.nanonis.options import read_options
from drivers.registry import Address
from drivers.scan import Frame


def test_pydantic_speaks_for_itself():
    with pytest.raises(ValidationError) as caught:
        Frame(x_m=0.0, y_m=0.0, width_m=-1.0, height_m=1.0)
    assert complaint(caught.value) == "Input should be greater than 0"


def test_our_own_checks_speak_without_a_prefix():
    address = "nanonis://127.0.0.1?bias_sign=2"
    with pytest.raises(ConfigError) as caught:
        read_options(Address.parse(address))
    assert str(caught.value) == f"option 'bias_sign' of '{address}': must be 1 or -1"


def test_what_was_given_is_shown_with_its_type_and_short():
    assert shown("ab") == "str 'ab'"
    assert len(shown(list(range(1000)))) < 50
