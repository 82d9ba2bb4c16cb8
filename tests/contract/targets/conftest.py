from tests.servers.kafka import kafka, kafka_pair, own_kafka
from tests.servers.nats import nats, own_nats
from tests.servers.nginx import own_nginx, shared_nginx
from tests.servers.rabbitmq import mutual_rabbitmq, own_rabbitmq, rabbitmq

__all__ = [
    "kafka",
    "kafka_pair",
    "mutual_rabbitmq",
    "nats",
    "own_kafka",
    "own_nats",
    "own_nginx",
    "own_rabbitmq",
    "rabbitmq",
    "shared_nginx",
]
