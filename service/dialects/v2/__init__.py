"""Open Inference Protocol V2 (github.com/kserve/open-inference-protocol), with Triton's binary tensors,
classification, statistics, configuration and repository: what Triton's, KServe's and other clients speak.
"""
