"""Transparent animated stickers: decode, generate and measure their alpha channel."""

__version__ = "0.1.0"
