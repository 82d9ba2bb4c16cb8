"""How many recorded deliveries a second one dispatcher makes to Kafka, with a real broker beside it.

    python -m bench.targets.kafka [--seconds 10] [--rate 5000] [--acks LEADER] [--compression LZ4] [--keyed]

As `bench.dispatcher`, with a record for each delivery in the place of an HTTP request. The broker has one replica of
everything, so that acks ALL wait for nobody else.
"""

import argparse
import asyncio
import json
import uuid

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from chronos.scheduler.v1 import job_pb2, kafka_target_pb2

from bench.dispatcher import measure
from tests.servers.kafka import start_kafka

Target = kafka_target_pb2.KafkaTarget


async def make_topic(broker: str, partitions: int) -> str:
    name = f"bench-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1)])
    await admin.close()
    return name


async def count_records(broker: str, topic: str, partitions: int) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    await consumer.start()
    ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])
    await consumer.stop()
    return sum(ends.values())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--acks", default="ALL", choices=("ALL", "LEADER", "NONE"))
    parser.add_argument("--compression", default="", choices=("", "GZIP", "SNAPPY", "LZ4", "ZSTD"))
    parser.add_argument("--keyed", action="store_true", help="a key for each execution")
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    server = start_kafka()
    topic = asyncio.run(make_topic(server.broker(), arguments.partitions))
    job = job_pb2.Job(namespace="default", id="orders", uid=str(uuid.uuid4()), name="Orders", version=1)
    job.kafka.CopyFrom(
        Target(
            brokers=[server.broker()],
            topic=topic,
            payload='{"execution": "{{.ExecutionID}}"}',
            key="{{.ExecutionID}}" if arguments.keyed else "",
            acks=Target.Acks.Value(arguments.acks),
            compression=Target.Compression.Value(arguments.compression or "COMPRESSION_UNSPECIFIED"),
        )
    )
    result = measure(job, seconds=arguments.seconds, rate=arguments.rate, profile=arguments.profile)
    result["records_in_topic"] = asyncio.run(count_records(server.broker(), topic, arguments.partitions))
    server.stop()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
