"""The multilayer perceptron 300-100: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to
Document Recognition" (Proceedings of the IEEE 1998), figure 9 ("28x28-300-100-10"), with the lectures' ReLU.

With a ten-class softmax head on 28x28x1 it has 235,500 + 30,100 + 1,010 = 266,610 parameters.
"""

from keras import Model, layers

from training.zoo.size import Shape


def build(input_shape: Shape) -> Model:
    """Build the perceptron: images `[N, H, W, C]` to a feature vector `[N, 100]`."""
    image = layers.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(image)
    for units in (300, 100):
        x = layers.Dense(units, activation="relu", name=f"dense{units}")(x)
    return Model(image, x, name="mlp")
