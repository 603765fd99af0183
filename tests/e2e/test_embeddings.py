"""Embeddings through the official SDK, on the real MiniLM weights."""

import math

import openai
import pytest

MODEL = "all-minilm-l6-v2"


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_similar_texts_are_near_and_vectors_have_unit_length(pro):
    async with pro.openai() as client:
        answer = await client.embeddings.create(
            model=MODEL,
            input=["A cat sits on the mat", "A kitten rests on a rug", "Stock prices fell"],
        )
    cat, kitten, stocks = (item.embedding for item in answer.data)
    assert len(cat) == 384
    assert math.isclose(cosine(cat, cat), 1, abs_tol=1e-4)
    assert cosine(cat, kitten) > cosine(cat, stocks) + 0.3
    assert [item.index for item in answer.data] == [0, 1, 2]


async def test_base64_which_the_sdk_asks_for_and_floats_are_the_same_numbers(pro):
    async with pro.openai() as client:
        encoded = await client.embeddings.create(model=MODEL, input="same")
        floats = await client.embeddings.create(model=MODEL, input="same", encoding_format="float")
    assert encoded.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-6)


async def test_fewer_dimensions_are_cut_and_of_unit_length_again(pro):
    async with pro.openai() as client:
        answer = await client.embeddings.create(model=MODEL, input="short", dimensions=64)
    vector = answer.data[0].embedding
    assert len(vector) == 64
    assert math.isclose(cosine(vector, vector), 1, abs_tol=1e-4)


async def test_token_inputs_mean_what_their_text_means(pro):
    """2023 2003 1037 3231 is "this is a test" in BERT's uncased vocabulary."""
    async with pro.openai() as client:
        text = await client.embeddings.create(model=MODEL, input="this is a test")
        tokens = await client.embeddings.create(model=MODEL, input=[2023, 2003, 1037, 3231])
    assert cosine(text.data[0].embedding, tokens.data[0].embedding) > 0.999
    assert text.usage.prompt_tokens == tokens.usage.prompt_tokens == 6


async def test_an_answer_does_not_depend_on_who_shared_the_batch(pro):
    import asyncio

    async with pro.openai() as client:
        alone = await client.embeddings.create(model=MODEL, input="the text in question")
        texts = [f"filler number {n} " * (n % 9 + 1) for n in range(24)] + ["the text in question "]
        answers = await asyncio.gather(
            *(client.embeddings.create(model=MODEL, input=text) for text in texts)
        )
    together = answers[-1].data[0].embedding
    assert cosine(alone.data[0].embedding, together) > 0.9999


async def test_an_input_over_the_window_is_refused_or_truncated_as_asked(pro):
    long = "word " * 400
    async with pro.openai() as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.embeddings.create(model=MODEL, input=["fine", long])
        assert refusal.value.code == "context_length_exceeded"
        assert "input[1]" in refusal.value.message
        cut = await client.embeddings.create(
            model=MODEL, input=long, extra_body={"truncate_prompt_tokens": -1}
        )
    assert cut.usage.prompt_tokens == 256


async def test_2048_inputs_pass_and_2049_do_not(operator):
    async with operator.openai() as client:
        most = await client.embeddings.create(model=MODEL, input=["a"] * 2048)
        assert len(most.data) == 2048
        with pytest.raises(openai.BadRequestError, match="2048"):
            await client.embeddings.create(model=MODEL, input=["a"] * 2049)


@pytest.mark.parametrize("bad", ["", [], [""], [[]], [10**9], [-1], ["a", 1], None])
async def test_unusable_inputs_are_a_400(pro, bad):
    async with pro.http() as client:
        response = await client.post("/v1/embeddings", json={"model": MODEL, "input": bad})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("input")
