"""The host's package sources, read without changing them."""

from __future__ import annotations

from pathlib import Path

from harness.host.apt import PrivateApt, Source, deb822, of_suite, parse_targets, signed_by

TARGETS = """\
MetaKey: main/binary-amd64/Packages
Codename: bookworm
Component: main
Created-By: Packages
Release: bookworm
Repo-URI: http://mirror.example/debian/
Sourcesentry: /etc/apt/sources.list.d/debian.sources:1

MetaKey: main/dep11/Components-amd64.yml
Component: main
Created-By: DEP-11
Release: bookworm
Repo-URI: http://mirror.example/debian/

MetaKey: main/binary-amd64/Packages
Component: main
Created-By: Packages
Release: bookworm-security
Repo-URI: http://mirror.example/security/
Signed-By: /keys/security.gpg
Sourcesentry: /etc/apt/sources.list:3
"""


def test_only_package_indexes_are_sources() -> None:
    assert parse_targets(TARGETS) == [
        (
            Source(uri="http://mirror.example/debian/", suite="bookworm", component="main"),
            "/etc/apt/sources.list.d/debian.sources:1",
        ),
        (
            Source(
                uri="http://mirror.example/security/",
                suite="bookworm-security",
                component="main",
                signed_by="/keys/security.gpg",
            ),
            "/etc/apt/sources.list:3",
        ),
    ]


def test_keyring_of_a_deb822_stanza(tmp_path: Path) -> None:
    file = tmp_path / "debian.sources"
    file.write_text(
        "Types: deb\nURIs: http://a/\nSigned-By: /keys/a.gpg\n\n"
        "Types: deb\nURIs: http://b/\nSigned-By: /keys/b.gpg\n"
    )
    assert signed_by(f"{file}:1") == "/keys/a.gpg"
    assert signed_by(f"{file}:5") == "/keys/b.gpg"


def test_keyring_of_a_one_line_entry(tmp_path: Path) -> None:
    file = tmp_path / "sources.list"
    file.write_text(
        "deb http://a/ s main\ndeb [arch=amd64 signed-by=/keys/c.gpg] http://b/ s main\n"
    )
    assert signed_by(f"{file}:2") == "/keys/c.gpg"
    assert signed_by(f"{file}:1") == ""
    assert signed_by("/no/such/file:1") == ""


def test_another_suite_of_the_same_archive() -> None:
    sources = [
        Source(uri="http://s/", suite="bookworm-security", component="main"),
        Source(uri="http://m/", suite="bookworm", component="main", signed_by="/k.gpg"),
    ]
    wanted = of_suite(sources, "trixie")
    assert wanted == Source(uri="http://m/", suite="trixie", component="main", signed_by="/k.gpg")
    assert deb822([wanted]) == (
        "Types: deb\nURIs: http://m/\nSuites: trixie\nComponents: main\nSigned-By: /k.gpg\n"
    )


def test_a_private_apt_reads_and_writes_its_own_folder_only(tmp_path: Path) -> None:
    source = Source(uri="http://m/", suite="trixie", component="main")
    private = PrivateApt(tmp_path, sources=[source], preferences="Package: *\n")
    words = private.command("apt-get", "update")
    folders = [
        word.partition("=")[2] for word in words if word.startswith(("Dir::State=", "Dir::C"))
    ]
    assert folders == [f"{tmp_path}/state", f"{tmp_path}/cache"]
    assert "Dir::Etc::sourcelist=/dev/null" in words
    assert (tmp_path / "etc/sources.d/harness.sources").read_text() == deb822([source])
