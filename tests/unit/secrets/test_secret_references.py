import pytest

from libs.secret_references import Reference, has_references, is_reference, references_in, replace_references


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("${secret:env:CHRONOS_SECRET_KEY}", "env", "CHRONOS_SECRET_KEY"),
        ("${secret:file:/run/secrets/stripe key.txt}", "file", "/run/secrets/stripe key.txt"),
        ("${secret:kubernetes:stripe/api-key}", "kubernetes", "stripe/api-key"),
        ("${secret:vault:secret/billing/stripe:key}", "vault", "secret/billing/stripe:key"),
    ],
)
def test_a_reference_names_a_source_and_a_secret(text: str, source: str, name: str) -> None:
    assert list(references_in(f"Bearer {text}, {text}")) == [Reference(source, name)] * 2
    assert str(Reference(source, name)) == text
    assert is_reference(text)
    assert not is_reference(f"Bearer {text}")


@pytest.mark.parametrize(
    "inner",
    [
        "", "env", "env:", "env:A-B", "env:1A", "env:A B", "aws:key", "ENV:A",
        "file:relative", "file:/a/../b", "file:/a/./b", "file:/a//b", "file:/", "file:/a\nb",
        "kubernetes:name", "kubernetes:Name/key", "kubernetes:name/..", "kubernetes:../key", "kubernetes:a/b/c",
        "vault:path", "vault:secret:key", "vault:secret/a", "vault:secret/../a:key", "vault:/secret/a:key",
        "vault:secret/a?list=true:key", "vault:secret/a%2e:key", "vault:secret/a:b:c",
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_told_with_the_form(inner: str) -> None:
    with pytest.raises(ValueError, match=r"refers to a secret of the unknown source|which is not of the form"):
        list(references_in(f"x ${{secret:{inner}}}"))


def test_a_reference_without_its_end_is_told() -> None:
    with pytest.raises(ValueError, match="without its end"):
        list(references_in("${secret:env:A} ${secret:env:B"))
    assert has_references("${secret:env:B")


def test_values_are_filled_in_and_not_looked_into_again() -> None:
    text = "a ${secret:env:A} b ${secret:env:B}"
    values = {"A": "${secret:env:B}", "B": "\\1 \\g<0>"}
    assert replace_references(text, lambda found: values[found.name]) == "a ${secret:env:B} b \\1 \\g<0>"
    assert replace_references("no $secret {here}", str) == "no $secret {here}"
