"""Packs: stickers fitted to the limits of chat platforms, with everything needed for an upload."""
