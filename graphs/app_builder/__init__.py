"""App builder: components and apps from descriptions, reviews of code.

Place in the path: a graph, which is a model to its callers. Its parts follow a request: `rules` and
`author` read a description into a `plan`; `project`, `schema` and `page` write files; `tree` and
`syntax` check them; `review` reads code. `builder` joins them.
"""

from graphs.app_builder.builder import SPEC, AppBuilder, AppBuilderSettings

__all__ = ["SPEC", "AppBuilder", "AppBuilderSettings"]
