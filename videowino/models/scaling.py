"""Channel counts of a backbone at a given width."""


def scale_channels(channels: int, width: float) -> int:
    """Channels of a layer at `width`, rounded to a multiple of 8 and at least 8.

    Width 1 keeps the published count, whatever it is (R(2+1)D's stem has 45).
    """
    if width == 1:
        return channels
    return max(8, 8 * round(channels * width / 8))
