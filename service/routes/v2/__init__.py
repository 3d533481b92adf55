"""`/v2/...`: the Open Inference Protocol V2, for clients of Triton, KServe and their like, unmodified.

Not in our own OpenAPI document: the protocol has its own. No handler looks at Content-Type, for these clients
send any or none; the query is theirs as well.
"""

from service.routes.v2 import infer, models, repository
from service.routes.v2.paths import router

__all__ = ["infer", "models", "repository", "router"]
