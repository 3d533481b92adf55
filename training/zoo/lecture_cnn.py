"""The convolutional networks of the CNN lectures, as Sequential stacks.

Parameter counts with a ten-class softmax head, on the lectures' input, 28x28x1, and on CIFAR's, 32x32x3:

* `build_a`: 225,930 parameters, 225,482 of them trainable (MNIST); 316,618 on CIFAR-10.
* `build_b`: 1,413,834 parameters, all trainable (Fashion-MNIST); 1,649,482 on CIFAR-10.
* `build_c`: 42,358 parameters, all trainable (MNIST); 60,102 on CIFAR-10.
"""

from keras import Model, layers

from training.zoo.size import Shape


def build_a(input_shape: Shape) -> Model:
    """Build the 32-64-128 CNN with batch normalisation.

    Takes images `[N, H, W, C]` and returns a backbone whose output is a feature vector `[N, 128]`.
    """
    image = layers.Input(input_shape, name="image")
    x = image
    for number, filters in enumerate((32, 64), start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
        x = layers.Dropout(0.5, name=f"dropout{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(name="norm3")(x)
    x = layers.Dropout(0.1, name="dropout3")(x)
    return Model(image, x, name="lecture-cnn-a")


def build_b(input_shape: Shape) -> Model:
    """Build the 64-128-256 CNN: a 7x7 convolution, then two pairs of 3x3, then two dense layers.

    Takes images `[N, H, W, C]` and returns a backbone whose output is a feature vector `[N, 64]`.
    """
    image = layers.Input(input_shape, name="image")
    x = layers.Conv2D(64, 7, padding="same", activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    for stage, filters in enumerate((128, 256), start=2):
        for half in ("a", "b"):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{stage}{half}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    for units in (128, 64):
        x = layers.Dense(units, activation="relu", name=f"dense{units}")(x)
        x = layers.Dropout(0.5, name=f"dropout{units}")(x)
    return Model(image, x, name="lecture-cnn-b")


def build_c(input_shape: Shape) -> Model:
    """Build the 8-16-100 CNN, small enough to be worked out by hand.

    Takes images `[N, H, W, C]` and returns a backbone whose output is a feature vector `[N, 100]`. The
    lectures do not give the dropout's rates; a quarter and, of the dense layer, a half are usual.
    """
    image = layers.Input(input_shape, name="image")
    x = image
    for number, filters in enumerate((8, 16), start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
        x = layers.Dropout(0.25, name=f"dropout{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(100, activation="relu", name="dense")(x)
    x = layers.Dropout(0.5, name="dropout3")(x)
    return Model(image, x, name="lecture-cnn-c")
