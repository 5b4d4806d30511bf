"""Names of scalars in logs.

What training computes has no ``/`` in its name: OpenMMLab's ``analyze_logs.py`` take a name with one for a validation's
(``knn/vit-w96-d2``, ``coco/bbox_mAP``), keep only what stands behind it and leave out the line's step and time.
"""

import re


def current_name(name: str) -> str:
    """What is called `name` in a log, perhaps an older one: ``intact/global`` is ``intact_global`` now."""
    return re.sub(r"\b(intact|elastic)/", r"\1_", name)
