"""Where a file lies in the master: boxes found in the one are found in the other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from zimage_core.domain import Box, Channel
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.frames import Frame, RenditionRefusal, frame_of, srcset_channels

CHANNELS = load_channels()


def framed(width_px: int, height_px: int, channel: Channel) -> Frame:
    frame = frame_of(width_px, height_px, channel)
    assert isinstance(frame, Frame), frame
    return frame


@pytest.mark.parametrize("master", [(1024, 1024), (816, 800), (1600, 1616)])
def test_a_mark_in_the_master_lies_in_its_mapped_box_of_the_file(master: tuple[int, int]) -> None:
    frame = framed(*master, CHANNELS["taobao_main"])
    pixels = np.zeros((master[1], master[0], 3), np.uint8)
    box = Box(133, 402, 217, 61)
    pixels[box.y_px : box.bottom_px, box.x_px : box.right_px] = 255
    file = frame.cut(pixels)
    rows, columns = np.nonzero(file.max(axis=2) >= 128)
    mapped = frame.map(box)
    assert mapped.x_px <= columns.min() <= mapped.x_px + 1
    assert mapped.y_px <= rows.min() <= mapped.y_px + 1
    assert mapped.right_px - 2 <= columns.max() < mapped.right_px
    assert mapped.bottom_px - 2 <= rows.max() < mapped.bottom_px


def test_a_box_over_the_crop_is_cut_and_one_outside_is_empty() -> None:
    frame = Frame(Box(10, 0, 100, 100), 50, 50)
    assert frame.map(Box(0, 0, 30, 20)) == Box(0, 0, 10, 10)
    assert frame.map(Box(90, 90, 50, 50)) == Box(40, 45, 10, 5)
    assert frame.map(Box(0, 0, 10, 10)).width_px == 0


def test_alpha_is_cut_as_the_picture_is_and_bleeds_no_colour() -> None:
    frame = Frame(Box(0, 0, 64, 64), 16, 16)
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, :34] = (200, 30, 30, 255)  # black lies under what is transparent
    file = frame.cut(rgba)
    assert frame.cut(rgba[..., 3]).shape == (16, 16)
    assert file[file[..., 3] > 40][:, 0].min() >= 198, "none of the black"


def test_a_srcset_is_of_the_channels_shape_never_larger_than_the_master_and_without_the_channels_own_file() -> None:
    taken = ("jpeg", "webp")
    channel = dataclasses.replace(CHANNELS["wechat_moments"], width_px=1080, height_px=1440, allowed_formats=taken)
    further = srcset_channels(1088, 1440, channel, widths_px=(1600, 480, 800, 1080), formats=("avif", "webp", "jpeg"))
    assert [(c.width_px, c.height_px, c.format) for c in further] == [
        (480, 640, "webp"),
        (480, 640, "jpeg"),
        (800, 1067, "webp"),
        (800, 1067, "jpeg"),
        (1080, 1440, "webp"),
    ]
    assert {c.slug for c in further} == {channel.slug}
    assert all(framed(1088, 1440, c).width_px == c.width_px for c in further)


def test_a_channel_that_gets_no_file_gets_no_srcset() -> None:
    assert srcset_channels(300, 300, CHANNELS["taobao_main"]) == ()
    assert isinstance(frame_of(300, 300, CHANNELS["taobao_main"]), RenditionRefusal)
