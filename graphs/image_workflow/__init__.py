"""Image workflows: generate, describe, refine, upscale; a batch of pictures in one call.

Place in the path: step 4. To its callers this graph is a model; it calls an image model and a
vision model by their handles. Files: `workflow` (the stages, in order), `painting` (what is asked
of the image model), `matching` (do words fit a prompt?), `pixels` (resampling, files), `answers`
(the answer). Galleries and URLs are the gateway's business: answers carry pictures in base64.
"""

from core.image_workflow import ImageWorkflowRequest, estimate_image_workflow
from core.model import ModelSpec, Operation
from graphs.image_workflow.workflow import ImageWorkflow, ImageWorkflowSettings

SPEC = ModelSpec(
    family="image-workflow",
    model=ImageWorkflow,
    settings=ImageWorkflowSettings,
    operations={
        "image_workflow": Operation(
            method="run",
            request=ImageWorkflowRequest,
            estimate=estimate_image_workflow,
            makes_media=True,
        )
    },
    options={"max_ongoing_requests": 8, "max_queued_requests": 64},
)
