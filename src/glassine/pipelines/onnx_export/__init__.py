"""The cutout network as one ONNX file, clip in and transparency out; needs the extra `glassine[onnx]`.

torch's exporter writes the network. The hint's classic methods it cannot write as they are, since they call OpenCV:

- two of OpenCV's functions, flood fill and distance transform, need loops. `flood_fill` and `nearest` write these by
  hand in ONNX, and `median` the median filter, which is a hundred operations to torch's exporter;
- all else is written again in operations that the exporter knows (`background`, `morphology`, `layout_hint`).

Each gives what OpenCV gives, bit for bit, so no threshold behind it falls otherwise; only the network's own rounding
is left between the file and torch.
"""

from glassine.pipelines.onnx_export.export import export_onnx

__all__ = ["export_onnx"]
