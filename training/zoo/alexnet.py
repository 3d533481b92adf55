"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks"
(NIPS 2012), figure 2.

The paper splits the second, fourth and fifth convolution over two GPUs, so that each half sees half of the
channels: `groups=2`, 60,965,224 parameters with a head of 1,000 classes on 227x227x3 (the paper says "60
million"). As one tower, which the lectures draw, it has 62,378,344. The paper's 224 pixels do not fit its
stride; its local response normalisation, which has no parameters and which Simonyan and Zisserman (ICLR
2015, section 2.3) found to bring nothing, is left out, as in the lectures.
"""

from keras import Model, layers

from training.zoo.size import Shape


def build(input_shape: Shape, *, groups: int = 1, name: str = "alexnet") -> Model:
    """Build AlexNet: images `[N, H, W, C]` of 67 pixels or more to a feature vector `[N, 4096]`."""
    image = layers.Input(input_shape, name="image")
    x = layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = layers.Conv2D(256, 5, padding="same", groups=groups, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)
    x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.Conv2D(384, 3, padding="same", groups=groups, activation="relu", name="conv4")(x)
    x = layers.Conv2D(256, 3, padding="same", groups=groups, activation="relu", name="conv5")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (6, 7):
        x = layers.Dense(4096, activation="relu", name=f"dense{number}")(x)
        x = layers.Dropout(0.5, name=f"dropout{number}")(x)
    return Model(image, x, name=name)
