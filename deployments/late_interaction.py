"""Late interaction: how well documents answer a query, by an encoder that was made for vectors.

Place in the path: step 4, under `deployments.embeddings`, in its worker thread. Query and document
are read apart; then each token of the query looks for the token of the document that is most like
it, and a document's score is the mean of what they found (MaxSim: Khattab and Zaharia, "ColBERT",
SIGIR 2020). Nothing is trained for it. A model that reads query and document together, as
`deployments.rerank` has, knows more and costs more.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Question(NamedTuple):
    """A query and documents, as token ids with the tokenizer's special tokens around them."""

    query: list[int]
    documents: Sequence[list[int]]


class LateInteraction:
    """MaxSim over the token vectors of one sentence encoder.

    Args:
        encoder: a `SentenceTransformer`.
        before, after: special tokens around every text. They are read and not compared: they stand
            for no word.
        micro_batch: texts of one forward pass.
    """

    def __init__(self, encoder: Any, before: int, after: int, micro_batch: int) -> None:
        import torch

        self._torch = torch
        self._encoder = encoder
        self._before = before
        self._after = after
        self._micro_batch = micro_batch

    def scores(
        self, questions: Sequence[Question], checkpoint: Callable[[], None]
    ) -> list[list[float]]:
        """For each question a score of each of its documents: mean cosines, between -1 and 1.

        Documents of all questions go through the encoder together, by length.

        Args:
            checkpoint: called between forward passes; it may raise.
        """
        with self._torch.inference_mode():
            queries = self._all([question.query for question in questions], checkpoint)
            rows = [(mine, ids) for mine, q in enumerate(questions) for ids in q.documents]
            found = [0.0] * len(rows)
            for chosen in self._by_length([ids for _, ids in rows]):
                checkpoint()
                vectors = self._vectors([rows[row][1] for row in chosen])
                for row, document in zip(chosen, vectors, strict=True):
                    found[row] = _likeness(queries[rows[row][0]], document)
        scores = iter(found)
        return [[next(scores) for _ in question.documents] for question in questions]

    def _all(self, inputs: Sequence[list[int]], checkpoint: Callable[[], None]) -> list[Any]:
        vectors: list[Any] = [None] * len(inputs)
        for chosen in self._by_length(inputs):
            checkpoint()
            made = self._vectors([inputs[index] for index in chosen])
            for index, each in zip(chosen, made, strict=True):
                vectors[index] = each
        return vectors

    def _by_length(self, inputs: Sequence[list[int]]) -> list[list[int]]:
        """Indexes of inputs, in batches of about the same length."""
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        starts = range(0, len(order), self._micro_batch)
        return [order[start : start + self._micro_batch] for start in starts]

    def _vectors(self, inputs: list[list[int]]) -> list[Any]:
        """Unit vectors of each input's own tokens: (tokens, dimensions)."""
        padded = self._encoder.tokenizer.pad({"input_ids": inputs}, return_tensors="pt")
        features = {name: tensor.to(self._encoder.device) for name, tensor in padded.items()}
        tokens = self._encoder(features)["token_embeddings"].float()
        unit = self._torch.nn.functional.normalize(tokens, dim=2)
        read = features["attention_mask"].bool()  # all but what fills rows up, on either side
        return [
            unit[row][read[row]][self._before : len(ids) - self._after]
            for row, ids in enumerate(inputs)
        ]


def _likeness(query: Any, document: Any) -> float:
    """MaxSim; 0 where one of the two has no tokens of its own."""
    if 0 in (len(query), len(document)):
        return 0.0
    return float((query @ document.T).amax(dim=1).mean())
