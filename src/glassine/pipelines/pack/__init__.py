"""Packs: stickers fitted to the limits of chat platforms, with what an upload needs beside them."""
