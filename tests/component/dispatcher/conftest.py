from tests.etcd_server import shared_etcd
from tests.servers.rabbitmq import own_rabbitmq, rabbitmq

__all__ = ["own_rabbitmq", "rabbitmq", "shared_etcd"]
