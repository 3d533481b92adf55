"""TensorFlow Serving's REST API (tensorflow.org/tfx/serving/api_rest), and on the same paths KServe's V1."""
