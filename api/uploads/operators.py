"""The operators that an uploaded model may use, and why not the others.

Beside the standard ones these are onnxruntime's own: those that its quantisation and its
optimisation write, and that run on any processor. None of them reads a file, runs a graph of its
own or keeps anything from one run to the next.

Each was run 1500 times on inputs and attributes that do not fit, and an error was all that came of
it. Left out are those that ended the process: by memory that is not theirs (QLinearWhere), or for
no rows at all (QAttention); where three others did, is checked. It is still ended by a constant of
the graph that is empty (SkipLayerNormalization, MultiHeadAttention) and, as in Conv itself, by a
padding below zero (FusedConv): one reason more that a graph has a process apart.
"""

from typing import Any

from api.tensors.graph import cut

MICROSOFT = "com.microsoft"
OLDEST_OPSETS = {"ai.onnx": 7, "ai.onnx.ml": 1, MICROSOFT: 1}  # onnxruntime vouches for no older
FUSED = (  # written where onnxruntime saves a model that it has optimised
    *("Attention", "BiasGelu", "EmbedLayerNormalization", "FastGelu", "FusedConv", "FusedGemm"),
    *("FusedMatMul", "Gelu", "MultiHeadAttention", "NhwcMaxPool", "QuickGelu", "RotaryEmbedding"),
    *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "TransposeMatMul"),
)
QUANTISED = (  # written by onnxruntime.quantization, or where a model of it is optimised
    *("DequantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "GatherBlockQuantized"),
    *("MatMulIntegerToFloat", "MatMulNBits", "QEmbedLayerNormalization", "QGemm"),
    *("QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv"),
    *("QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid"),
    *("QLinearSoftmax", "QuantizeLinear"),
)
OWN = frozenset((*FUSED, *QUANTISED))
LAYOUTS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
BEFORE = "send the model as it was before onnxruntime saved it"


def standard(domain: str) -> str:
    """Return the name of a domain; the standard one may be left out."""
    return domain or "ai.onnx"


def refusal(node: Any) -> str | None:
    """Return why an operator may not be used, or None where it may.

    Whether it is a function of the model itself is not looked at.
    """
    domain = standard(node.domain)
    if domain == MICROSOFT:
        return own_refusal(node)
    if domain in OLDEST_OPSETS:
        return None
    if domain in LAYOUTS:
        return (
            "is for the layout of one kind of processor, on which onnxruntime saved the model; "
            f"save it with graph_optimization_level ORT_ENABLE_EXTENDED, or {BEFORE}"
        )
    return "is custom; use only ai.onnx, ai.onnx.ml and what onnxruntime itself writes"


def own_refusal(node: Any) -> str | None:
    """Return why an operator of onnxruntime's own may not be used, or None where it may."""
    if node.op_type not in OWN:
        return (
            "is none of onnxruntime's own operators that are admitted, which are those that its "
            f"quantisation and optimisation write; {BEFORE}, or with standard operators"
        )
    given = list(node.input)
    if node.op_type == "Attention" and not all((given + [""] * 3)[:3]):
        return f"has no bias, without which onnxruntime breaks; {BEFORE}"
    if node.op_type == "EmbedLayerNormalization" and any(given[8:]):
        return f"is given positions, at which onnxruntime breaks; {BEFORE}"
    if node.op_type == "QLinearConcat" and not all(given):
        return "leaves an input out, without which onnxruntime breaks; export the model again"
    return None


def name_of(node: Any) -> str:
    """Return the name of an operator with its domain."""
    return f"{cut(standard(node.domain))}.{cut(node.op_type)}"
