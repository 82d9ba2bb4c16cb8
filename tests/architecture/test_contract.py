"""What every element of `proto/` carries."""

import re
import subprocess
import sys
from collections.abc import Iterator
from filecmp import dircmp
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from libs.contract import Rpc, read_contract
from tests.architecture.tree import ROOT

DESCRIPTORS = (ROOT / "gen" / "chronos.binpb").read_bytes()
FILES = [file for file in FileDescriptorSet.FromString(DESCRIPTORS).file if file.name.startswith("chronos/")]
RPCS = read_contract(DESCRIPTORS).rpcs
Path_ = tuple[int, ...]


def elements(file: FileDescriptorProto) -> Iterator[tuple[str, Path_]]:
    """Every message, field, oneof, enum, value, service and method of a file, with its path in the source info."""
    for index, message in enumerate(file.message_type):
        yield from message_elements(message, message.name, (4, index))
    for index, enum in enumerate(file.enum_type):
        yield from enum_elements(enum, enum.name, (5, index))
    for index, service in enumerate(file.service):
        yield service.name, (6, index)
        yield from ((f"{service.name}.{method.name}", (6, index, 2, i)) for i, method in enumerate(service.method))


def message_elements(message: DescriptorProto, name: str, path: Path_) -> Iterator[tuple[str, Path_]]:
    yield name, path
    for index, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, 2, index)
    for index, oneof in enumerate(message.oneof_decl):
        if not oneof.name.startswith("_"):
            yield f"{name}.{oneof.name}", (*path, 8, index)
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from message_elements(nested, f"{name}.{nested.name}", (*path, 3, index))
    for index, enum in enumerate(message.enum_type):
        yield from enum_elements(enum, f"{name}.{enum.name}", (*path, 4, index))


def enum_elements(enum: EnumDescriptorProto, name: str, path: Path_) -> Iterator[tuple[str, Path_]]:
    yield name, path
    for index, value in enumerate(enum.value):
        yield f"{name}.{value.name}", (*path, 2, index)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_element_has_a_comment(file: FileDescriptorProto) -> None:
    commented = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
    assert [name for name, path in elements(file) if path not in commented] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_package_is_named_as_its_folder(file: FileDescriptorProto) -> None:
    assert file.package == str(Path(file.name).parent).replace("/", ".")


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.path)
def test_every_rpc_says_who_may_call_it(rpc: Rpc) -> None:
    ways = [bool(rpc.permission), rpc.is_public, rpc.is_internal]
    assert ways.count(True) == 1
    if rpc.permission:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*:[a-z]+", rpc.permission)


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.path)
def test_an_rpc_has_a_rest_path_unless_it_is_internal(rpc: Rpc) -> None:
    assert bool(rpc.rules) != rpc.is_internal


@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if rpc.rules], ids=lambda rpc: rpc.path)
def test_a_call_on_a_namespaced_resource_can_name_the_namespace_in_its_path(rpc: Rpc) -> None:
    if "namespace" in rpc.descriptor.input_type.fields_by_name:
        assert any(rule.template.startswith("/api/v1/namespaces/{namespace}") for rule in rpc.rules)


def test_no_rest_path_answers_for_two_rpcs() -> None:
    places = [(rule.verb, re.sub(r"\{\w+\}", "{}", rule.template)) for rpc in RPCS for rule in rpc.rules]
    assert sorted(places) == sorted(set(places))


def test_gen_is_what_proto_says(tmp_path: Path) -> None:
    copytree(ROOT / "proto", tmp_path / "proto", ignore=ignore_patterns("__pycache__"))
    command = [sys.executable, str(tmp_path / "proto" / "generate.py")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert differences(dircmp(ROOT / "gen", tmp_path / "gen", ignore=["__pycache__"])) == []


def differences(compared: "dircmp[str]") -> list[str]:
    found = [f"{compared.left}/{name}" for name in (*compared.left_only, *compared.right_only, *compared.diff_files)]
    for nested in compared.subdirs.values():
        found += differences(nested)
    return found


def test_the_services_of_the_contract_are_those_that_exist() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    assert set(read_contract(DESCRIPTORS).owners) == folders
