"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition"
(Proceedings of the IEEE 1998), figure 2, in the form that is usual in Keras.

There, C3 sees all six maps of S2 (the paper's table I leaves some out), the poolings have no trained factor,
and a softmax takes the place of the radial basis functions: 156 + 2,416 + 48,120 + 10,164 + 850 = 61,706
parameters with a ten-class head on 32x32x1, where the paper has 60,000.
"""

from keras import Model, layers

from training.zoo.size import Shape


def build(input_shape: Shape) -> Model:
    """Build LeNet-5: images `[N, H, W, C]` of 32 pixels or more to a feature vector `[N, 84]`."""
    image = layers.Input(input_shape, name="image")
    x = layers.Conv2D(6, 5, activation="tanh", name="c1")(image)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
    x = layers.AveragePooling2D(2, name="s4")(x)
    x = layers.Conv2D(120, 5, activation="tanh", name="c5")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(84, activation="tanh", name="f6")(x)
    return Model(image, x, name="lenet-5")
