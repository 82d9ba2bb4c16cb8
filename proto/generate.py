"""Writes `gen/` from `proto/`, without a network: `make gen`.

Third-party definitions are taken from the wheels that carry them (ADR 0006): google/api and google/rpc as `.proto`
files from googleapis-common-protos; buf/validate and etcd's API as descriptors from protovalidate and aetcd.
"""

import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from openapi import openapi_json
from printer import proto_text

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
THIRD_PARTY = ROOT / ".build" / "proto"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
VALIDATE = "buf/validate/validate.proto"
ETCD_FOLDER = "chronos/third_party/etcd"
GOOGLE_FILES = [
    "google/api/annotations.proto",
    "google/api/field_behavior.proto",
    "google/api/http.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
]


def main() -> None:
    """Regenerates everything, or fails and leaves `gen/` as it was."""
    ours = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    validate = FileDescriptorProto.FromString(validate_descriptor())
    write_third_party_sources(validate)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        sources = [f"--proto_path={path}" for path in (PROTO, THIRD_PARTY, WELL_KNOWN)]
        compile_python(sources, out, [*ours, VALIDATE], [name for name in ours if name.endswith("_service.proto")])
        etcd = etcd_descriptors()
        (Path(folder) / "etcd.binpb").write_bytes(etcd.SerializeToString())
        names = [file.name for file in etcd.file if file.name.startswith(ETCD_FOLDER)]
        compile_python([f"--descriptor_set_in={folder}/etcd.binpb"], out, names, [f"{ETCD_FOLDER}/rpc.proto"])
        binpb = out / "chronos.binpb"
        run_protoc([*sources, "--include_imports", "--include_source_info", f"--descriptor_set_out={binpb}", *ours,
                    "google/rpc/error_details.proto"])  # fmt: skip
        (out / "openapi.json").write_text(openapi_json(binpb.read_bytes()))
        (out / "chronos" / "py.typed").touch()
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(out, GEN)


def compile_python(sources: list[str], out: Path, messages: list[str], services: list[str]) -> None:
    """Compiles Python modules with their types: messages of some files, gRPC stubs of some."""
    plugins = [f"--plugin=protoc-gen-{name}={Path(sys.executable).parent}/protoc-gen-{name}"
               for name in ("mypy", "mypy_grpc")]  # fmt: skip
    run_protoc([*sources, *plugins, f"--python_out={out}", f"--mypy_out=quiet:{out}", *messages])
    run_protoc([*sources, *plugins, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services])


def run_protoc(arguments: list[str]) -> None:
    """Runs protoc, which says itself what is wrong."""
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("make gen: protoc failed; see the lines above")


def write_third_party_sources(validate: FileDescriptorProto) -> None:
    """Puts what `proto/` imports into `.build/proto`, where buf and protoc find it."""
    shutil.rmtree(THIRD_PARTY, ignore_errors=True)
    wheel = Path(import_module("google.api.annotations_pb2").__file__ or "").parents[2]
    for name in GOOGLE_FILES:
        (THIRD_PARTY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel / name, THIRD_PARTY / name)
    (THIRD_PARTY / VALIDATE).parent.mkdir(parents=True)
    (THIRD_PARTY / VALIDATE).write_text(proto_text(validate))


def validate_descriptor() -> bytes:
    """buf/validate/validate.proto as protovalidate's wheel carries it: a serialized FileDescriptorProto."""
    module = import_module("protovalidate._gen.buf.validate.validate_pb")
    return bytes(module.desc().proto.to_binary())


def etcd_descriptors() -> FileDescriptorSet:
    """Etcd's API as aetcd's wheel carries it, moved into our own package folder."""
    files: dict[str, FileDescriptorProto] = {}
    collect(import_module("aetcd.rpc.rpc_pb2").DESCRIPTOR, files)
    for name, file in files.items():
        if not name.startswith("google/"):
            file.name = f"{ETCD_FOLDER}/{name}"
        for index, dependency in enumerate(file.dependency):
            if not dependency.startswith("google/"):
                file.dependency[index] = f"{ETCD_FOLDER}/{dependency}"
    return FileDescriptorSet(file=files.values())


def collect(descriptor: FileDescriptor, into: dict[str, FileDescriptorProto]) -> None:
    """Adds a file after the files it imports."""
    for dependency in descriptor.dependencies:
        collect(dependency, into)
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    into.setdefault(descriptor.name, file)


if __name__ == "__main__":
    main()
