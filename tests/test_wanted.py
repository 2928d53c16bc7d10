"""Where packages come from, and that what is secret is kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runners.environment.wanted import base_image, supply


def test_credentials_leave_the_addresses_and_are_masked_wherever_they_appear(tmp_path: Path) -> None:
    found = supply(
        {
            "HOME": str(tmp_path),
            "PIP_INDEX_URL": "https://me:s3cr%40t@index.example.org/simple",
            "UV_INDEX": "corp=https://t0ken@corp.example.org/x https://open.example.org/simple",
        },
        ["https://repository.example.org/simple"],
    )
    assert found.variables["UV_DEFAULT_INDEX"] == "https://index.example.org/simple"
    assert found.variables["UV_INDEX"].split() == [
        "corp=https://corp.example.org/x",
        "https://open.example.org/simple",
        "https://repository.example.org/simple",
    ]
    netrc = found.files["netrc"]
    assert 'machine index.example.org\nlogin "me"\npassword "s3cr@t"' in netrc
    assert 'machine corp.example.org\nlogin "t0ken"' in netrc
    said = "with s3cr@t and s3cr%40t and t0ken to https://a:b@example.org/x"
    assert found.masked(said) == "with *** and *** and *** to https://***@example.org/x"
    assert not [secret for secret in ("s3cr", "t0ken") if secret in found.identity]


def test_of_netrc_only_the_entries_of_the_indexes_are_taken(tmp_path: Path) -> None:
    entries = "machine index.example.org login a password inner1\nmachine code.example.org login b password other1\n"
    (tmp_path / ".netrc").write_text(entries)
    (tmp_path / ".netrc").chmod(0o600)
    found = supply({"HOME": str(tmp_path), "PIP_EXTRA_INDEX_URL": "https://index.example.org/simple"})
    assert "inner1" in found.files["netrc"]
    assert "other1" not in found.files["netrc"]
    assert found.secrets == ("inner1",)


def test_pips_configuration_certificates_and_proxies_are_found(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://index.example.org/simple\nextra-index-url = file:///local https://b.example.org/s\n"
    )
    (tmp_path / "ca.pem").write_text("CERTIFICATE")
    proxies = {"proxies": {"default": {"httpsProxy": "http://u:pr0xypw@proxy.example.org:1", "noProxy": "localhost"}}}
    (tmp_path / "config.json").write_text(json.dumps(proxies))
    found = supply(
        {
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "DOCKER_CONFIG": str(tmp_path),
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            "HTTP_PROXY": "http://other.example.org:2",
        }
    )
    assert found.variables["UV_DEFAULT_INDEX"] == "https://index.example.org/simple"
    assert found.variables["UV_INDEX"] == "https://b.example.org/s"
    assert found.files == {"certificates.pem": "CERTIFICATE"}
    assert found.variables["HTTP_PROXY"] == "http://other.example.org:2"
    assert found.variables["https_proxy"] == "http://u:pr0xypw@proxy.example.org:1"
    assert found.variables["NO_PROXY"] == "localhost"
    assert "pr0xypw" not in found.masked("proxy pr0xypw refused")


def test_without_any_setting_nothing_is_sent(tmp_path: Path) -> None:
    found = supply({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "none")})
    assert (found.files, found.secrets) == ({}, ())


def test_the_base_image_is_the_one_named_else_that_of_the_variable_else_the_official_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EGCFG_BASE_IMAGE", raising=False)
    assert base_image("", "3.12") == "python:3.12-slim"
    monkeypatch.setenv("EGCFG_BASE_IMAGE", "mine:1")
    assert base_image() == "mine:1"
    assert base_image("other:2") == "other:2"
