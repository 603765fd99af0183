"""Files and batches with the official SDK: lines in, answers and errors out."""

import asyncio
import json

import openai
import pytest

from tests.e2e.test_chat import settled


def line(number, text=None, **body):
    document = {"model": "echo", "messages": [{"role": "user", "content": text or f"n{number}"}]}
    return {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": document | body,
    }


def jsonl(lines):
    return "\n".join(json.dumps(line) for line in lines).encode()


async def submitted(client, lines, endpoint="/v1/chat/completions"):
    file = await client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"who": "test"}
    )


async def ended(client, batch, seconds=120):
    async with asyncio.timeout(seconds):
        while batch.status not in ("completed", "failed", "cancelled", "expired"):
            await asyncio.sleep(0.3)
            batch = await client.batches.retrieve(batch.id)
    return batch


async def begun(client, batch):
    """Until its first lines are answered."""
    for _ in range(600):
        if (await client.batches.retrieve(batch.id)).request_counts.completed:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the batch does not begin")


async def content(client, file_id):
    text = (await client.files.content(file_id)).text
    return [json.loads(entry) for entry in text.splitlines()]


async def test_a_batch_answers_every_line_and_is_in_the_ledger(pro):
    async with pro.openai() as client:
        lines = [line(number) for number in range(70)]
        lines[7]["body"]["temperature"] = 99
        lines[9]["body"]["model"] = "no-such-model"
        batch = await ended(client, await submitted(client, lines))
        assert batch.status == "completed", batch
        assert batch.metadata == {"who": "test"}
        counts = batch.request_counts
        assert (counts.total, counts.completed, counts.failed) == (70, 68, 2)
        answers = await content(client, batch.output_file_id)
        errors = await content(client, batch.error_file_id)
    texts = {
        entry["custom_id"]: entry["response"]["body"]["choices"][0]["message"]["content"]
        for entry in answers
    }
    assert texts == {f"line-{n}": f"n{n}" for n in range(70) if n not in (7, 9)}
    assert {entry["custom_id"]: entry["response"]["status_code"] for entry in errors} == {
        "line-7": 400,
        "line-9": 404,
    }
    rows = await settled(pro, 68)
    assert {row["request_id"] for row in rows} == {
        entry["response"]["request_id"] for entry in answers
    }


async def test_embeddings_in_a_batch(pro):
    async with pro.openai() as client:
        lines = [
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/embeddings",
                "body": {"model": "all-minilm-l6-v2", "input": [f"text {number}", "more"]},
            }
            for number in range(5)
        ]
        batch = await ended(client, await submitted(client, lines, "/v1/embeddings"))
        answers = await content(client, batch.output_file_id)
    assert [len(entry["response"]["body"]["data"]) for entry in answers] == [2] * 5


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([line(1), line(1)], "twice"),
        ([line(1) | {"url": "/v1/embeddings"}], "'url' must be"),
        ([line(1, stream=True)], "stream"),
        ([{"custom_id": "a"}], "method"),
    ],
)
async def test_a_bad_line_fails_the_batch_before_anything_is_spent(pro, lines, fault):
    async with pro.openai() as client:
        batch = await ended(client, await submitted(client, [line(0), *lines]))
    assert batch.status == "failed"
    assert fault in batch.errors.data[0].message
    assert await pro.usage_rows() == []


async def test_a_cancelled_batch_stops(pro):
    async with pro.openai() as client:
        slow = [line(n, text=" ".join(["word"] * 3000), model="echo") for n in range(2000)]
        batch = await submitted(client, slow)
        await begun(client, batch)
        cancelled = await client.batches.cancel(batch.id)
        assert cancelled.status == "cancelled"
        await asyncio.sleep(2)
        done = len(await pro.usage_rows())
        await asyncio.sleep(3)
        assert len(await pro.usage_rows()) == done < 2000


async def test_nobody_elses_files_and_batches(pro, free):
    async with pro.openai() as ours, free.openai() as theirs:
        batch = await ended(ours, await submitted(ours, [line(0)]))
        for attempt in (
            lambda: theirs.files.retrieve(batch.input_file_id),
            lambda: theirs.files.content(batch.output_file_id),
            lambda: theirs.files.delete(batch.output_file_id),
            lambda: theirs.batches.retrieve(batch.id),
            lambda: theirs.batches.cancel(batch.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await attempt()
        with pytest.raises(openai.BadRequestError):
            await theirs.batches.create(
                input_file_id=batch.input_file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
            )
        assert not (await theirs.batches.list()).data
        assert not (await theirs.files.list()).data
        await ours.files.delete(batch.output_file_id)
        with pytest.raises(openai.NotFoundError):
            await ours.files.content(batch.output_file_id)


@pytest.mark.chaos
async def test_a_killed_jobs_application_goes_on_where_it_was(cluster, pro):
    async with pro.openai() as client:
        batch = await submitted(client, [line(number) for number in range(300)])
        await begun(client, batch)
        cluster.kill("ServeReplica:jobs")
        batch = await ended(client, batch, 180)
        assert batch.status == "completed", batch
        answers = await content(client, batch.output_file_id)
    assert sorted(entry["custom_id"] for entry in answers) == sorted(
        f"line-{number}" for number in range(300)
    )
    async with asyncio.timeout(30):  # rows are written a moment after the answers
        while True:
            rows = [row for row in await pro.usage_rows() if row["cache"] != "hit"]
            if len(rows) >= 300:
                break
            await asyncio.sleep(0.2)
    assert len(rows) <= 332
