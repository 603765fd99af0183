"""The vocabulary every other package shares: errors, model contract, work units, settings.

Place in the path: below everything; imports the standard library and pydantic only.
It holds no behaviour of its own: nothing here talks to a network, a store or a model.
"""
