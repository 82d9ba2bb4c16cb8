"""Namespaces: create, look up, change."""

from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import namespace_pb2

from libs.clock import Clock
from libs.faults import AlreadyExists, Forbidden, InvalidArgument, NotFound, Stale, WrongState
from libs.names import DEFAULT_NAMESPACE
from libs.paging import decode_token, encode_token, page_size
from libs.rpc.context import Principal
from services.scheduler.domain.quota import UNLIMITED
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Extent, Subject
from services.scheduler.ports.namespaces import NamespaceStore, VersionedNamespace

LIMITS = ("max_jobs", "max_concurrent_runs", "max_executions_per_hour")
OUTPUT_ONLY = ("created_at", "updated_at", "updated_by", "etag")
MOST_TRIES = 8


class Namespaces:
    """The namespaces of the cluster. `default` is always there; one that only jobs name is not."""

    def __init__(self, store: NamespaceStore, guard: Guard, clock: Clock) -> None:
        self._store = store
        self._guard = guard
        self._clock = clock

    async def create(
        self, wish: namespace_pb2.Namespace, *, validate_only: bool, principal: Principal
    ) -> namespace_pb2.Namespace:
        """Adds a namespace. Raises AlreadyExists, or Forbidden for one that the caller could not use."""
        if not principal.has_namespace(wish.id):
            raise Forbidden(
                f'the API key "{principal.name}" has no access to the namespace "{wish.id}"; use a key that has it',
                reason="NAMESPACE_FORBIDDEN",
            )
        if await self._store.get(wish.id) is not None:
            raise _taken(wish.id)
        stored = self._filled(wish, None, author=principal.id)
        if validate_only:
            return _public(VersionedNamespace(stored=stored, revision=0))
        try:
            return _public(await self._store.put(stored, revision=0))
        except Stale as error:
            raise _taken(wish.id) from error

    async def get(self, namespace_id: str) -> namespace_pb2.Namespace:
        """Looks up a namespace. Raises NotFound."""
        return _public(await self._find(namespace_id))

    async def list(self, *, size: int, token: str, principal: Principal) -> tuple[list[namespace_pb2.Namespace], str]:
        """One page of the namespaces that the caller may use, and the token of the next one."""
        query = ["namespaces"]
        position = decode_token(token, query=query)
        after = str(position[0]) if position else ""
        everything = {found.stored.id: found for found in [_unstored_default(), *await self._store.all()]}
        ids = sorted(name for name in everything if name > after and principal.has_namespace(name))
        chosen = ids[: page_size(size)]
        next_token = encode_token([chosen[-1]], query=query) if len(ids) > len(chosen) else ""
        return [_public(everything[name]) for name in chosen], next_token

    async def replace(
        self, namespace_id: str, wish: namespace_pb2.Namespace, *, validate_only: bool, author: str
    ) -> namespace_pb2.Namespace:
        """Puts a whole new namespace in place. Raises NotFound, InvalidArgument, Refused or Stale."""
        if wish.id not in ("", namespace_id):
            raise InvalidArgument.of("id", f'cannot be changed; write "{namespace_id}", or create another namespace')
        for _ in range(MOST_TRIES):
            current = await self._find(namespace_id)
            _check_etag(wish.etag, current)
            stored = self._filled(wish, current, author=author)
            await self._guard.ensure(self._subject(namespace_id), is_trial=validate_only)
            if validate_only:
                return _public(VersionedNamespace(stored=stored, revision=current.revision))
            try:
                return _public(await self._store.put(stored, revision=current.revision))
            except Stale:
                if wish.etag:
                    raise
        raise _contended(namespace_id)

    async def delete(self, namespace_id: str, *, etag: str) -> None:
        """Removes a namespace. Raises NotFound, Refused, Stale, or WrongState while jobs use it and for `default`."""
        for _ in range(MOST_TRIES):
            current = await self._find(namespace_id)
            if namespace_id == DEFAULT_NAMESPACE:
                raise WrongState(
                    f'the namespace "{DEFAULT_NAMESPACE}" cannot be deleted; replace it to change its limits'
                )
            _check_etag(etag, current)
            await self._guard.ensure(self._subject(namespace_id))
            try:
                return await self._store.delete(namespace_id, revision=current.revision)
            except Stale:
                continue
        raise _contended(namespace_id)

    def _subject(self, namespace_id: str) -> Subject:
        async def count() -> Extent:
            return Extent(jobs=await self._store.count_jobs(namespace_id))

        return Subject(operation=policy_pb2.Policy.NAMESPACE, namespace=namespace_id, extent=count)

    async def _find(self, namespace_id: str) -> VersionedNamespace:
        found = await self._store.get(namespace_id)
        if found is not None:
            return found
        if namespace_id == DEFAULT_NAMESPACE:
            return _unstored_default()
        raise NotFound(
            f'the namespace "{namespace_id}" was not created; jobs may use it all the same, without limits, '
            "and creating it gives it some",
            metadata={"namespace": namespace_id},
        )

    def _filled(
        self, wish: namespace_pb2.Namespace, current: VersionedNamespace | None, *, author: str
    ) -> namespace_pb2.Namespace:
        """What to store: everything that was left out says what it means."""
        stored = namespace_pb2.Namespace()
        stored.CopyFrom(wish)
        for name in OUTPUT_ONLY:
            stored.ClearField(name)  # type: ignore[arg-type]
        _fill_limits(stored)
        stored.policy_failure = stored.policy_failure or namespace_pb2.Namespace.DENY
        stored.updated_at.FromDatetime(self._clock.now())
        stored.created_at.CopyFrom(stored.updated_at)
        if current is not None:
            stored.id = current.stored.id
            if current.revision:
                stored.created_at.CopyFrom(current.stored.created_at)
        stored.updated_by = author
        return stored


def _fill_limits(namespace: namespace_pb2.Namespace) -> None:
    for name in LIMITS:
        if not namespace.quotas.HasField(name):  # type: ignore[arg-type]
            setattr(namespace.quotas, name, UNLIMITED)


def _unstored_default() -> VersionedNamespace:
    stored = namespace_pb2.Namespace(id=DEFAULT_NAMESPACE, policy_failure=namespace_pb2.Namespace.DENY)
    _fill_limits(stored)
    return VersionedNamespace(stored=stored, revision=0)


def _public(found: VersionedNamespace) -> namespace_pb2.Namespace:
    namespace = namespace_pb2.Namespace()
    namespace.CopyFrom(found.stored)
    namespace.etag = str(found.revision)
    return namespace


def _check_etag(etag: str, current: VersionedNamespace) -> None:
    if etag and etag != str(current.revision):
        raise Stale("the namespace was changed by somebody else; get it again and repeat the change on its new etag")


def _taken(namespace_id: str) -> AlreadyExists:
    return AlreadyExists(
        f'there is a namespace "{namespace_id}" already; choose another id, or replace that one',
        metadata={"namespace": namespace_id},
    )


def _contended(namespace_id: str) -> Stale:
    return Stale(f'the namespace "{namespace_id}" is being changed by many callers at once; try again')
