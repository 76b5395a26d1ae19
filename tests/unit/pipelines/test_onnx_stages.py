"""The network as two files: weights at half precision where that loses nothing."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from glassine.pipelines.onnx_export.stages import store_as_half


def test_weights_are_halved_only_where_nothing_is_lost():
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(16, 32)).astype(np.float16).astype(np.float32)
    inexact = rng.normal(size=(32, 16)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "exact"], ["y"]), helper.make_node("MatMul", ["y", "inexact"], ["z"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 16)) for name in ("x", "z")]
    weights = [numpy_helper.from_array(exact, "exact"), numpy_helper.from_array(inexact, "inexact")]
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], weights), opset_imports=opset, ir_version=9
    )
    before = model.SerializeToString()
    store_as_half(model)
    onnx.checker.check_model(model)
    assert [one.data_type for one in model.graph.initializer] == [TensorProto.FLOAT16, TensorProto.FLOAT]
    assert len(model.SerializeToString()) < len(before) - exact.nbytes // 2 + 200
    x = rng.normal(size=(1, 16)).astype(np.float32)
    found, expected = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for data in (model.SerializeToString(), before)
    )
    assert np.array_equal(found, expected)
