"""What happens to images on their way into a network, inside tf.data: changes, blends, numbers."""
