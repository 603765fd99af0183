"""One file per model family: request types, a plain class, its `SPEC`.

Place in the path: step 4, on the far side of a deployment handle. A model here knows neither
tenants nor HTTP, and its module imports quickly: heavy libraries load in `__init__`.
"""
