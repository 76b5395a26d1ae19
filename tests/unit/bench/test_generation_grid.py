from PIL import Image
from tests.helpers.tiny_generator import tiny_generator

from glassine.bench.gallery import CELL
from glassine.bench.generation.grid import make_grid
from glassine.pipelines.text_to_sticker import TextToStickerPipeline


def test_a_row_a_prompt_and_a_column_a_seed(tmp_path):
    pipeline = TextToStickerPipeline(tiny_generator(), device="cpu")

    def make(prompt, seeds, progress):
        return pipeline(prompt, 2, 32, 32, 2, 1.0, seed=seeds, progress=progress)

    still, animated = make_grid(make, tmp_path / "pets", ("a cat", "a dog"), (0, 1, 2))
    assert (still.name, animated.name) == ("pets.png", "pets.webp")
    with Image.open(still) as picture, Image.open(animated) as clip:
        assert 3 * CELL < picture.width < 4 * CELL
        assert 2 * CELL < picture.height < 3 * CELL
        assert clip.n_frames == 2
