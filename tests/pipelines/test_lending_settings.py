"""Providers in the settings: typed, never shown, refused where they may not be, and none in a demo home."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.home import HomeError, open_home
from pipelines.resources import lending_of
from pipelines.settings import Settings

CANARY = "canary0123456789abcdefKEY"


def _settings(monkeypatch: pytest.MonkeyPatch, urls: str, *, is_local_allowed: bool = False) -> Settings:
    monkeypatch.setenv("LOWTIDE_RPC_URLS", urls)
    monkeypatch.setenv("LOWTIDE_RPC_LOCAL_ALLOWED", str(is_local_allowed))
    return Settings()


def test_a_providers_key_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = _settings(monkeypatch, f'{{"ethereum": ["https://rpc.example.com/v3/{CANARY}"]}}')
    assert CANARY not in f"{settings!r} {settings} {settings.rpc_urls} {settings.model_dump()}"
    assert settings.rpc_urls["ethereum"][0].get_secret_value().endswith(CANARY)
    markets = lending_of(open_home(tmp_path / "home", "real", create=True), settings)
    assert list(markets) == ["aave_v3_ethereum"]
    assert CANARY not in repr(markets)


def test_a_chain_without_a_market_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no lending market on tron: there are ethereum, arbitrum, base, solana"):
        _settings(monkeypatch, '{"tron": ["https://rpc.example.com"]}')


def test_a_provider_of_solana_serves_its_market(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = _settings(monkeypatch, f'{{"solana": ["https://rpc.example.com/{CANARY}"]}}')
    markets = lending_of(open_home(tmp_path / "home", "real", create=True), settings)
    assert list(markets) == ["kamino_main_solana"]
    assert CANARY not in repr(markets)


def test_a_private_host_is_refused_without_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = open_home(tmp_path / "home", "real", create=True)
    with pytest.raises(HomeError, match=r"127\.0\.0\.1 is not a public host") as caught:
        lending_of(home, _settings(monkeypatch, f'{{"base": ["http://127.0.0.1:8545/{CANARY}"]}}'))
    assert CANARY not in str(caught.value)
    allowed = _settings(monkeypatch, '{"base": ["http://127.0.0.1:8545/"]}', is_local_allowed=True)
    assert list(lending_of(home, allowed)) == ["aave_v3_base"]


def test_a_demo_home_reads_no_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = _settings(monkeypatch, '{"ethereum": ["https://rpc.example.com/v3"]}')
    assert lending_of(open_home(tmp_path / "demo", "demo", create=True), settings) == {}
    monkeypatch.delenv("LOWTIDE_RPC_URLS")
    assert lending_of(open_home(tmp_path / "real", "real", create=True), Settings()) == {}
