"""Score the shipped weights: ``python -m models.starter_chat.evaluate``.

Every question is one that training skips (see ``corpus.in_held_out``). Answers come from
transformers, greedily; a table goes to the terminal and ``scores.json`` beside this file. It
compares text with text: no query is run against a database.
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot.errors import SqlglotError

from models import judged
from models.starter_chat import HERE, WEIGHTS
from models.starter_chat.conversation import END, Conversation, prompt_text
from models.starter_chat.corpus import held_out, held_out_wordings

COUNTS = {
    "sql": 500,
    "sql follow-up": 200,
    "sql explain, fix": 100,
    "json sql": 80,
    "fact": 200,
    "small talk": 80,
    "unknown topic": 100,
    "trick": 80,
    "json": 200,
    "tool call": 200,
}
SEED = 2026


@dataclass(frozen=True)
class Score:
    """Shares of one family's answers; ``parsed`` counts those that should be SQL."""

    kind: str
    count: int
    exact: float
    parsed: float | None
    numbers: float | None


class Answerer:
    """The model in transformers: prompts in, greedy answers out."""

    def __init__(self, weights: Path = WEIGHTS, batch: int = 64, threads: int = 1) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(threads)
        self._torch, self._batch = torch, batch
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        self.model: Any = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()

    def complete(self, prompts: Sequence[str], longest: int = 200) -> list[str]:
        """Answers in the order of ``prompts``; prompts alike in length run together."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers = [""] * len(prompts)
        for start in range(0, len(order), self._batch):
            rows = order[start : start + self._batch]
            for row, text in zip(rows, self._run([prompts[i] for i in rows], longest), strict=True):
                answers[row] = text
        return answers

    def chat(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> str:
        """One answer through the chat template, as a server gives it."""
        prompt = self.tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
        return self.complete([prompt])[0]

    def _run(self, prompts: list[str], longest: int) -> list[str]:
        inputs = self.tokenizer(
            prompts, return_tensors="pt", padding=True, add_special_tokens=False
        )
        with self._torch.inference_mode():
            found = self.model.generate(**inputs, max_new_tokens=longest, do_sample=False)
        texts = self.tokenizer.batch_decode(found[:, inputs["input_ids"].shape[1] :])
        return [text.split(END)[0] for text in texts]


def same(conversation: Conversation, answer: str) -> bool:
    """Equal text, or equal JSON where the expected answer is JSON."""
    expected = conversation.answer
    if not expected.startswith("{"):
        return answer == expected
    try:
        return bool(json.loads(answer) == json.loads(expected))
    except ValueError:
        return False


def is_sql(text: str) -> bool:
    return text.startswith("SELECT ")


def parses(sql: str) -> bool:
    """PostgreSQL according to sqlglot, and one statement that reads."""
    try:
        return is_sql(sql) and len(sqlglot.parse(sql, dialect="postgres")) == 1
    except SqlglotError:
        return False


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def score(kind: str, conversations: Sequence[Conversation], answers: Sequence[str]) -> Score:
    pairs = list(zip(conversations, answers, strict=True))
    queries = [(c.answer, a) for c, a in pairs if is_sql(c.answer)]
    numbered = [(e, a) for e, a in queries if numbers(e)]
    return Score(
        kind,
        len(pairs),
        _share([same(c, a) for c, a in pairs]),
        _share([parses(a) for _, a in queries]) if queries else None,
        _share([numbers(e) == numbers(a) for e, a in numbered]) if numbered else None,
    )


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4)


def evaluate(answerer: Answerer, scale: float = 1.0) -> tuple[list[Score], list[str]]:
    """(scores by family, wrong answers as lines of text)."""
    scores, wrong = [], []
    families = {kind: held_out(SEED, kind, max(1, round(n * scale))) for kind, n in COUNTS.items()}
    families["fact, new wording"] = held_out_wordings()
    for kind, conversations in families.items():
        answers = answerer.complete([prompt_text(c) for c in conversations])
        scores.append(score(kind, conversations, answers))
        wrong += [
            f"[{kind}] {c.messages[-2].text}\n  want {c.answer}\n  got  {a}"
            for c, a in zip(conversations, answers, strict=True)
            if not same(c, a)
        ]
    return scores, wrong


def table(scores: Sequence[Score]) -> str:
    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    lines = [f"{'family':<20}{'count':>6}{'exact':>9}{'parses':>9}{'numbers':>9}"]
    lines += [
        f"{s.kind:<20}{s.count:>6}{cell(s.exact):>9}{cell(s.parsed):>9}{cell(s.numbers):>9}"
        for s in scores
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=HERE / "scores.json")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the questions to ask")
    parser.add_argument("--wrong", action="store_true", help="also print the wrong answers")
    options = parser.parse_args()
    began = time.monotonic()
    answerer = Answerer(options.weights)
    scores, wrong = evaluate(answerer, options.scale)
    print(table(scores))
    print(f"{time.monotonic() - began:.0f} s")
    if options.wrong:
        print("\n".join(wrong))
    options.out.write_text(
        json.dumps(
            {
                "seed": SEED,
                "parameters": answerer.model.num_parameters(),
                "scores": [asdict(s) for s in scores],
            },
            indent=2,
        )
        + "\n"
    )
    judged.write(options.out, options.weights)


if __name__ == "__main__":
    main()
