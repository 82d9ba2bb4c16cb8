"""How many recorded deliveries a second one dispatcher makes to a gRPC method, with its server beside it.

    python -m bench.targets.grpc [--seconds 10] [--rate 5000] [--types reflection]

As `bench.dispatcher`, with a call for each delivery in the place of an HTTP request. The server is a small one in
Python, in a process of its own: where there are few cores it takes its share of them.
"""

import argparse
import json
import uuid

import grpc
from chronos.scheduler.v1 import grpc_target_pb2, job_pb2

from bench.dispatcher import measure
from tests.servers.grpc import GrpcServerProcess
from tests.servers.orders import COUNT, PLACE, Order, Placed, descriptor_set

PAYLOAD = '{"customer": "{{.ExecutionID}}", "amountCents": 250}'


def make_job(address: str, types: str) -> job_pb2.Job:
    """`types` says where those of the payload come from; `raw` needs none."""
    target = grpc_target_pb2.GrpcTarget(address=address, method=PLACE)
    if types == "raw":
        target.raw_payload = Order(customer="somebody", amount_cents=250).SerializeToString()
    else:
        target.payload = PAYLOAD
        target.descriptor_set = descriptor_set() if types == "descriptor_set" else b""
    job = job_pb2.Job(namespace="default", id="orders", uid=str(uuid.uuid4()), name="Orders", version=1)
    job.grpc.CopyFrom(target)
    return job


def count_calls(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(COUNT)
        return int(Placed.FromString(call(b"")).amount_cents)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--types", default="descriptor_set", choices=("descriptor_set", "reflection", "raw"))
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    server = GrpcServerProcess()
    server.start()
    job = make_job(server.address, arguments.types)
    result = measure(job, seconds=arguments.seconds, rate=arguments.rate, profile=arguments.profile)
    result["calls_at_server"] = count_calls(server.address)
    server.kill()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
