"""Media: pictures, sound and video that belong to a tenant, and how they are delivered.

Place in the path: after step 5. An endpoint hands the bytes a model made to `MediaStore.publish`
and gives its caller the URL; `/media/…` serves them. The response cache holds models' answers,
never URLs, so every answer carries a URL that was signed for it.
"""
