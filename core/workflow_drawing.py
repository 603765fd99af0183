"""A workflow as a picture: mermaid's text, which documents and notebooks draw.

Place in the path: beside it; made for people. It reads the order and nothing else.
"""

from collections.abc import Iterable, Iterator

from core.workflow_order import Links


def mermaid(links: Iterable[Links]) -> str:
    """A flow chart (https://mermaid.js.org). Solid arrows carry outputs, dotted ones only order."""
    return "\n".join(["flowchart TD", *_lines(list(links))])


def _lines(links: list[Links]) -> Iterator[str]:
    nodes = {each.step.id: f"s{number}" for number, each in enumerate(links)}
    for each in links:
        step = each.step
        label = [f"<b>{step.id}</b>", _plain(step.model)]
        if step.is_mapped:
            label.append("for each item")
        if step.condition is not None:
            label.append(f"if {_plain(step.condition)}")
        yield f'    {nodes[step.id]}["{"<br>".join(label)}"]'
    for each in links:
        for other in sorted(each.waits, key=lambda name: nodes[name]):
            arrow = "-->" if other in each.data else "-.->"
            yield f"    {nodes[other]} {arrow} {nodes[each.step.id]}"


def _plain(text: str) -> str:
    """Text that cannot end its node: mermaid's entities for all but letters and digits."""
    return "".join(
        each if each.isalnum() or each in " -_./:" else f"#{ord(each)};" for each in text[:80]
    )
