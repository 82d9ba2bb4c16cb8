"""What the new owner of a shard is told, in parts."""

import uuid

from services.history.convert_records import Limits, batch_from
from services.history.convert_seals import MOST_BYTES, MOST_IDS, MOST_UNFINISHED, seal_parts
from services.history.domain.records import Record
from services.history.ports import Seal
from tests.component.history.messages import told

MIB = 1024 * 1024


def record() -> Record:
    return batch_from([told(1)], Limits(max_response_bytes=64, now_us=1)).records[0]


def test_there_is_no_part_when_there_is_nothing_to_tell() -> None:
    assert list(seal_parts(Seal(unfinished=(), recorded_ids=()))) == []


def test_every_part_fits_into_a_message_and_nothing_is_left_out() -> None:
    ids = tuple(uuid.UUID(int=number).bytes for number in range(2 * MOST_IDS + 1))
    parts = list(seal_parts(Seal(unfinished=(record(),) * (MOST_UNFINISHED + 1), recorded_ids=ids)))
    assert [len(part.unfinished) for part in parts] == [MOST_UNFINISHED, 1, 0, 0, 0]
    assert [len(part.recorded_execution_ids) for part in parts] == [0, 0, MOST_IDS, MOST_IDS, 1]
    assert len({identity for part in parts for identity in part.recorded_execution_ids}) == len(ids)
    assert all(part.ByteSize() <= 2 * MIB for part in parts)


def test_large_executions_make_parts_of_fewer() -> None:
    large = record()._replace(reason="x" * (MOST_BYTES // 2))
    parts = list(seal_parts(Seal(unfinished=(large,) * 5, recorded_ids=())))
    assert [len(part.unfinished) for part in parts] == [2, 2, 1]
