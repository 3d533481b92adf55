"""Layers that learn: where each parameter comes from."""

import math

from training.reports.summary.use import Facts, Use, activation, grow, reach, window


def convolution(use: Use) -> Facts:
    """Conv2D, also in groups: (F*F*C_in + 1)*K."""
    layer = use.layer
    (rows, columns), (stride, _) = layer.kernel_size, layer.strides
    channels, filters = use.shape[-1] // layer.groups, use.output[-1]
    count = (rows * columns * channels + layer.use_bias) * filters
    groups = f"; {layer.groups} groups, each of which sees only its own channels" if layer.groups > 1 else ""
    return Facts(
        f"{_weights(f'{rows}*{columns}*{channels}', filters, layer.use_bias)} = {count}",
        window(use, reach(layer), layer.strides),
        use.output[0] * use.output[1] * rows * columns * channels * filters,
        f"{filters} filters of {rows}x{columns} over {channels} channels{groups}, "
        f"{_bias(layer.use_bias)}{activation(layer)}.",
        grow(use, reach(layer)[0], stride),
    )


def depthwise(use: Use) -> Facts:
    """DepthwiseConv2D: one filter per channel, F*F*C."""
    layer = use.layer
    (rows, columns), (stride, _) = layer.kernel_size, layer.strides
    channels = use.output[-1]
    count = (rows * columns + layer.use_bias) * channels
    return Facts(
        f"{_weights(f'{rows}*{columns}', channels, layer.use_bias)} = {count}",
        window(use, reach(layer), layer.strides),
        use.output[0] * use.output[1] * rows * columns * channels,
        f"One filter of {rows}x{columns} for each channel alone, so that channels do not mix, "
        f"{_bias(layer.use_bias)}{activation(layer)}.",
        grow(use, reach(layer)[0], stride),
    )


def separable(use: Use) -> Facts:
    """SeparableConv2D: a depthwise convolution, then one of 1x1: F*F*C_in + C_in*K."""
    layer = use.layer
    (rows, columns), (stride, _) = layer.kernel_size, layer.strides
    before, filters = use.shape[-1], use.output[-1]
    middle = before * layer.depth_multiplier
    weights = f"{rows}*{columns}*{middle} + {_weights(str(middle), filters, layer.use_bias)}"
    count = rows * columns * middle + (middle + layer.use_bias) * filters
    return Facts(
        f"{weights} = {count}",
        window(use, reach(layer), layer.strides),
        use.output[0] * use.output[1] * (rows * columns * middle + middle * filters),
        f"One filter of {rows}x{columns} for each channel alone, then {filters} filters of 1x1 that mix "
        f"these {middle} channels, {_bias(layer.use_bias)}{activation(layer)}.",
        grow(use, reach(layer)[0], stride),
    )


def by_shape(use: Use) -> Facts:
    """Any other layer that learns: its weights by their shapes, and no word about what it does with them."""
    weights = use.layer.weights
    names = ", ".join(f"{weight.name} of {'x'.join(map(str, weight.shape)) or 1}" for weight in weights)
    if len(weights) > MOST_NAMED:
        names = f"{len(weights)} arrays of numbers"
    total = sum(math.prod(weight.shape) for weight in weights)
    products = " + ".join("*".join(map(str, weight.shape)) or "1" for weight in weights)
    known = type(use.layer).__name__ in _POINT_BY_POINT
    return Facts(
        f"{products} = {total}" if len(weights) <= MOST_NAMED else f"{total} = {total}",
        multiply_adds=math.prod(use.output) if known else 0,
        note=f"What it learns: {names}.",
        field=use.field if known else None,
    )


MOST_NAMED = 6
"""Of a layer that nothing is known of, no more arrays than these are told one by one."""

_POINT_BY_POINT = {"PReLU", "RMSNormalization"}
"""Each value, or each place over its channels, by itself."""


def transposed(use: Use) -> Facts:
    """Conv2DTranspose: a convolution run backwards, which enlarges."""
    layer = use.layer
    (rows, columns), (stride, _) = layer.kernel_size, layer.strides
    channels, filters = use.shape[-1], use.output[-1]
    count = (rows * columns * channels + layer.use_bias) * filters
    before = 0 if layer.padding == "valid" else max(rows - stride, 0) // 2
    field = use.field.spread(rows, stride, before) if use.field else None
    size = use.shape[0]
    return Facts(
        f"{_weights(f'{rows}*{columns}*{channels}', filters, layer.use_bias)} = {count}",
        f"({size} - 1)*{stride} + {use.output[0] - (size - 1) * stride} = {use.output[0]}",
        use.shape[0] * use.shape[1] * rows * columns * channels * filters,
        f"Each value spreads over {rows}x{columns} values of {filters} channels, at distances of {stride}, "
        f"{_bias(layer.use_bias)}{activation(layer)}.",
        field,
    )


def normalisation(use: Use) -> Facts:
    """BatchNormalization: up to four numbers per channel, of which scale and shift are trained."""
    channels = use.output[-1]
    trained = [name for name, there in (("scale", use.layer.scale), ("shift", use.layer.center)) if there]
    learnt = len(trained) * channels
    words = (
        f"{' and '.join(trained)} of each channel {'are' if len(trained) > 1 else 'is'} trained ".capitalize()
    )
    told = f"{words}({len(trained)} * {channels} = {learnt}); its" if trained else "Each channel's"
    return Facts(
        f"{len(trained) + 2} * {channels} = {learnt + 2 * channels}",
        multiply_adds=math.prod(use.output),
        note=f"{told} mean and variance are measured, not trained (2 * {channels} = {2 * channels}).",
        field=use.field,
    )


def layer_normalisation(use: Use) -> Facts:
    """LayerNormalization over the channels: scale and shift of each, and nothing that is measured before."""
    layer, channels = use.layer, use.output[-1]
    if list(layer.axis) not in ([-1], [len(use.output)]):
        raise ValueError("not over the channels alone")
    trained = [name for name, there in (("scale", layer.scale), ("shift", layer.center)) if there]
    learnt = f"; {' and '.join(trained)} of each channel trained" if trained else ""
    return Facts(
        f"{len(trained)} * {channels} = {len(trained) * channels}" if trained else "",
        multiply_adds=math.prod(use.output),
        note=f"Each place less the mean of its {channels} channels, by their deviation{learnt}.",
        field=use.field,
    )


def layer_scale(use: Use) -> Facts:
    """LayerScale of `zoo/convnext.py`: one factor per channel."""
    channels = use.output[-1]
    return Facts(
        f"{channels} = {channels}",
        multiply_adds=math.prod(use.output),
        note="Each channel times a factor of its own, which begins near 0: at first a block changes nothing.",
        field=use.field,
    )


def dense(use: Use) -> Facts:
    """Dense: n_in*n_out + n_out, at each place where there are several."""
    before, after = use.shape[-1], use.output[-1]
    biased = use.layer.use_bias
    several = len(use.shape) > 1
    return Facts(
        f"{before}*{after} + {after} = {before * after + after}"
        if biased
        else f"{before}*{after} = {before * after}",
        multiply_adds=before * math.prod(use.output),
        note=f"Each of {after} outputs weighs all {before} inputs{' of its place' if several else ''}, "
        f"{_bias(biased)}{activation(use.layer)}.",
        field=use.field if several else None,
    )


def _weights(inner: str, filters: int, use_bias: bool) -> str:
    return f"({inner} + 1) * {filters}" if use_bias else f"{inner} * {filters}"


def _bias(use_bias: bool) -> str:
    return "and a bias" if use_bias else "without bias"
