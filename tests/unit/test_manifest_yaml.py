from __future__ import annotations

import pytest

from harness.errors import ManifestError
from harness.manifest.yaml import dump_all, load_all

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def value(text: str) -> object:
    (obj,) = load_all(f"{HEAD}data: {{k: {text}}}")
    return obj["data"]["k"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01", "2024-01-01"),
        ("22:30", "22:30"),
        ("5432:5432", "5432:5432"),
        ("1.5:2", "1.5:2"),
        ("12", 12),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1f", 31),
        ("-3", -3),
        ("08", "08"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("'12'", "12"),
        ("1.2.3", "1.2.3"),
        ("~", None),
        ("=", "="),
        ("250m", "250m"),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(text: str, expected: object) -> None:
    got = value(text)
    assert got == expected
    assert type(got) is type(expected)


def test_lists_and_empty_documents() -> None:
    members = "items:\n- {apiVersion: v1, kind: Pod}\n"
    text = f"---\n---\n{HEAD}---\napiVersion: v1\nkind: List\n{members}"
    assert [obj["kind"] for obj in load_all(text)] == ["ConfigMap", "Pod"]


def test_a_key_written_twice_is_an_error_with_its_line() -> None:
    with pytest.raises(ManifestError) as raised:
        load_all(f"{HEAD}data:\n  a: 1\n  a: 2\n", "shop.yaml")
    assert 'shop.yaml is no valid YAML: line 6: the key "a" is there twice' in raised.value.message


def test_broken_yaml_names_the_line() -> None:
    with pytest.raises(ManifestError) as raised:
        load_all("apiVersion: v1\nkind: [a\n", "x.yaml")
    assert raised.value.message.startswith("x.yaml is no valid YAML: line ")


@pytest.mark.parametrize("text", ["- a\n", "image: nginx\nreplicas: 3\n", "just words\n"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ManifestError) as raised:
        load_all(text, "values.yaml")
    assert "values.yaml" in raised.value.message
    assert "apiVersion and kind" in raised.value.remedy


def test_dump_and_load_are_inverse() -> None:
    objects = load_all(
        f"{HEAD}data:\n  script: |\n    a\n    b\n  date: '2024-01-01'\n  time: '22:30'\n  n: '1'\n"
        "---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: a, args: ['08', '1e3']}\n"
    )
    text = dump_all(objects)
    assert load_all(text) == objects
    assert "script: |" in text
