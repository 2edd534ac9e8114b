"""`--advertise`: what each form means, and the sentence for what means nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.runtime.errors import SettingsError
from worker.advertising.advertise_flag import Advertise, Source, parse_advertise


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("10.0.0.5", Advertise(Source.WRITTEN, "10.0.0.5")),
        ("10.0.0.5:20001", Advertise(Source.WRITTEN, "10.0.0.5", 20001)),
        ("gpu-7.example.com:80", Advertise(Source.WRITTEN, "gpu-7.example.com", 80)),
        ("eth0", Advertise(Source.WRITTEN, "eth0")),
        ("eth0.100:65535", Advertise(Source.WRITTEN, "eth0.100", 65535)),
        ("fd00::5", Advertise(Source.WRITTEN, "fd00::5")),
        ("[fd00::5]", Advertise(Source.WRITTEN, "fd00::5")),
        ("[fd00::5]:20001", Advertise(Source.WRITTEN, "fd00::5", 20001)),
        ("{{ GetPrivateIP }}", Advertise(Source.PRIVATE)),
        ("{{GetPublicIP}}:8080", Advertise(Source.PUBLIC, "", 8080)),
        ('{{ GetInterfaceIP "eth0" }}', Advertise(Source.INTERFACE, "eth0")),
        ("{{- GetInterfaceIP `wg0` -}}:1", Advertise(Source.INTERFACE, "wg0", 1)),
    ],
)
def test_each_form_has_its_meaning(text: str, meaning: Advertise) -> None:
    """Addresses, names, interfaces and templates, each with and without a port."""
    assert parse_advertise(text) == meaning


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("10.0.0.5:0", "not a number from 1 to 65535"),
        ("10.0.0.5:70000", "not a number from 1 to 65535"),
        ("host:http", "not a number from 1 to 65535"),
        ("host:", "not a number from 1 to 65535"),
        ("a:1:2", "for IPv6"),
        ("foo..bar", "write an IP address, or a name"),
        ("", "write an IP address, or a name"),
        ("224.0.0.1", "not the address of one host"),
        ("{{ GetAllInterfaces }}", "GetPrivateIP"),
        ("{{ GetInterfaceIP }}", "GetInterfaceIP"),
        ('{{ GetPrivateIP "eth0" }}', "GetPrivateIP"),
        ("{{ GetPrivateIP | attr `address` }}", "GetPrivateIP"),
    ],
)
def test_what_means_nothing_is_refused_with_the_rule(text: str, rule: str) -> None:
    """A refusal says what can be written."""
    with pytest.raises(SettingsError, match=rule.replace("[", r"\[")):
        parse_advertise(text)


@given(st.text(max_size=60))
def test_any_text_has_a_meaning_or_is_refused(text: str) -> None:
    """No text raises anything but SettingsError."""
    with suppress(SettingsError):
        parse_advertise(text)
