"""The sampler's settings of the app: a distilled network keeps its own."""

import io
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.helpers.running_app import FakeNetworks, finished
from tests.helpers.tiny_dynamics import save_tiny_dynamics
from tests.helpers.tiny_image_to_video import save_tiny_image_to_video, tiny_image_to_video
from tests.helpers.tiny_transparent import IMAGE, plain, save_tiny_transparent, tiny_frame_unet, tiny_transparent

from glassine.app.generating import STEPS, Sampling
from glassine.app.main import create_app
from glassine.models.sampling import Distilled
from glassine.pipelines.motion import MovedStickerPipeline


def test_a_distilled_network_keeps_its_solver_and_steps():
    own = tiny_image_to_video(distilled=Distilled(8, 24, guidance_scale=3.0))
    settings = Sampling(prompt="waves").call_settings(own)
    assert (settings["num_inference_steps"], settings["solver"]) == (8, "ddim")
    assert Sampling(prompt="waves", steps=4).call_settings(own)["num_inference_steps"] == 4


@pytest.mark.parametrize("distilled", [None, Distilled(guidance_scale=3.0)])
def test_other_networks_take_the_usual_ones(distilled: Distilled | None):
    settings = Sampling(prompt="waves").call_settings(tiny_image_to_video(distilled=distilled))
    assert (settings["num_inference_steps"], settings["solver"]) == (STEPS, "dpm++")
    assert Sampling(prompt="waves", steps=20).call_settings(tiny_image_to_video())["num_inference_steps"] == 20


def test_a_still_is_animated_in_the_steps_of_a_distilled_network(tmp_path: Path):
    networks, still = FakeNetworks(), Image.new("RGBA", (24, 24))
    still.paste((200, 30, 60, 255), (6, 6, 18, 18))
    still.save(drawn := io.BytesIO(), "PNG")
    networks.animate = save_tiny_image_to_video(tmp_path / "w", num_inference_steps=2, teacher_steps=4)
    with TestClient(create_app(tmp_path / "home", networks=networks), base_url="http://localhost") as app:
        files, data = {"file": ("a.png", drawn.getvalue())}, {"prompt": "waves"}
        job = finished(app, app.post("/v1/animate?wait=0", data=data, files=files).json(), 120)
        assert (job["state"], job["done"], job["total"]) == ("done", 2, 2), job
        job = finished(app, app.post("/v1/animate?wait=0", data=data | {"steps": "3"}, files=files).json(), 120)
        assert job["total"] == 3
        assert any("made for 2 steps" in note for note in job["notes"])


def test_a_sticker_from_text_is_a_transparent_image_that_is_moved(tmp_path: Path):
    unet = {"class_path": "glassine.models.image_unet.FrameUNet", "init_args": plain(IMAGE) | {"attention_head_dim": 8}}
    images = tiny_transparent(tiny_frame_unet()).requires_grad_(True)
    networks = FakeNetworks()
    networks.latents = save_tiny_transparent(images, tmp_path / "images", unet)
    networks.animate = save_tiny_dynamics(tmp_path / "fields")
    pipeline = networks.transparent_generator()
    assert isinstance(pipeline, MovedStickerPipeline)
    body = {"prompt": "a cat", "seeds": [1, 2], "size": 64, "frames": 5, "steps": 2, "motion": 1, "method": "latents"}
    with TestClient(create_app(tmp_path / "home", networks=networks), base_url="http://localhost") as app:
        job = finished(app, app.post("/v1/generate?wait=0", json=body).json(), 120)
        assert (job["state"], job["done"], job["total"]) == ("done", 4, 4), job
        assert [file["about"]["frames"] for file in job["results"]] == [5, 5]
        answer = app.post("/v1/generate?wait=0", json=body | {"motion": 9})
        if answer.status_code == 202:  # it had not failed yet
            answer = app.get(f"/v1/jobs/{finished(app, answer.json(), 120)['id']}")
        assert answer.json()["error"] == "motion must be in [0, 3], got 9"
