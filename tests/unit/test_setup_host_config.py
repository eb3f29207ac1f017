"""This machine's pip settings, translated for inside an image."""

from __future__ import annotations

from pathlib import Path

from harness.host.build_settings import pip_conf, pip_settings, wheel_folder

LISTING = """\
:env:.timeout='180'
:env:.find-links='/opt/wheels https://wheels.example/simple'
global.index-url='https://mirror.example/simple'
global.timeout='15'
global.cert='/etc/ssl/company.pem'
"""


def test_the_environment_wins_over_files() -> None:
    settings = pip_settings(LISTING)
    assert settings["timeout"] == "180"
    assert settings["index-url"] == "https://mirror.example/simple"


def test_paths_of_this_machine_do_not_reach_an_image() -> None:
    text = pip_conf(pip_settings(LISTING), wheels=False, ca=True)
    assert "index-url = https://mirror.example/simple" in text
    assert "https://wheels.example/simple" in text
    assert "/opt/wheels" not in text
    assert "company.pem" not in text
    assert "cert = /etc/ssl/certs/ca-certificates.crt" in text


def test_a_folder_of_wheels_is_mounted_where_pip_looks() -> None:
    assert "/run/wheels" in pip_conf({}, wheels=True, ca=False)
    assert "cert" not in pip_conf({}, wheels=True, ca=False)


def test_only_a_folder_that_holds_wheels_counts(tmp_path: Path) -> None:
    assert wheel_folder({"find-links": str(tmp_path)}) is None
    (tmp_path / "a-1-py3-none-any.whl").touch()
    assert wheel_folder({"find-links": f"https://x.example/ file://{tmp_path}"}) == tmp_path
