"""Where secrets that jobs refer to come from."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from libs.clock import Clock
from services.dispatcher.adapters.secrets.environment import EnvironmentSecrets
from services.dispatcher.adapters.secrets.files import FileSecrets
from services.dispatcher.adapters.secrets.kubernetes import KubernetesSecrets
from services.dispatcher.adapters.secrets.vault import VaultAccess, VaultSecrets
from services.dispatcher.deferred_sender import DeferredSender
from services.dispatcher.domain.secret_rules import parse_rules
from services.dispatcher.ports import Sender
from services.dispatcher.secret_settings import SecretSettings
from services.dispatcher.secret_values import SecretSource, SecretValues


@asynccontextmanager
async def open_deferred(settings: SecretSettings, sender: Sender, clock: Clock) -> AsyncIterator[DeferredSender]:
    """What fills in secrets on the way to `sender`."""
    sources: dict[str, SecretSource] = {}
    async with AsyncExitStack() as stack:
        if settings.secret_env_prefix:
            sources["env"] = EnvironmentSecrets(settings.secret_env_prefix)
        if settings.secret_directories:
            sources["file"] = FileSecrets(settings.secret_directories)
        if settings.secret_kubernetes:
            sources["kubernetes"] = kubernetes = KubernetesSecrets(
                settings.secret_kubernetes_url,
                mount=settings.secret_kubernetes_mount,
                namespace=settings.secret_kubernetes_namespace,
            )
            stack.push_async_callback(kubernetes.close)
        if settings.vault_address:
            sources["vault"] = vault = VaultSecrets(_access(settings), clock)
            stack.push_async_callback(vault.close)
        values = SecretValues(
            sources,
            parse_rules(settings.secret_rules),
            clock,
            lifetime=settings.secret_lifetime,
            timeout=settings.secret_timeout,
        )
        yield DeferredSender(values, sender, clock)


def _access(settings: SecretSettings) -> VaultAccess:
    token = settings.vault_token.get_secret_value()
    return VaultAccess(
        address=settings.vault_address,
        mount=settings.vault_mount.strip("/"),
        version=settings.vault_kv_version,
        vault_namespace=settings.vault_namespace,
        token=token,
        role="" if token else settings.vault_role,
        auth_mount=settings.vault_auth_mount.strip("/"),
        account_token=f"{settings.secret_kubernetes_mount}/token",
        authority=Path(settings.vault_ca_file).read_bytes() if settings.vault_ca_file else b"",
    )
