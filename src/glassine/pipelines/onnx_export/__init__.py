"""The cutout network as one ONNX file, clip in and transparency out; needs the extra `glassine[onnx]`.

torch's exporter writes the network. It cannot export the hint's classic methods directly, since they call OpenCV:

- two OpenCV functions, flood fill and distance transform, need loops. `flood_fill` and `nearest` write these by hand in
  ONNX, and `median` the median filter, which would be a hundred operations in torch's exporter;
- everything else is rewritten in operations that the exporter supports (`background`, `morphology`, `layout_hint`).

Each is bit-identical to OpenCV, so no subsequent threshold flips; only the network's own rounding differs between the
file and torch.
"""

from glassine.pipelines.onnx_export.export import export_onnx

__all__ = ["export_onnx"]
