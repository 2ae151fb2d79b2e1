"""Boxes around the other shapes that labelling tools know.  Coordinates are pixels; boxes are (x1, y1, x2, y2)."""
import math
from collections.abc import Sequence


def box_of_points(points: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """The smallest box around points (x, y); nan where there is none."""
    if not points:
        return (math.nan,) * 4
    xs = [float(x) for x, _ in points]
    ys = [float(y) for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def box_of_rotated(x: float, y: float, width: float, height: float, degrees: float,
                   around: tuple[float, float]) -> tuple[float, float, float, float]:
    """The box around a rectangle at (x, y) that is turned clockwise around a point, as it is seen on the screen."""
    cos = math.cos(math.radians(degrees))
    sin = math.sin(math.radians(degrees))
    corners = []
    for across in (x - around[0], x + width - around[0]):
        for down in (y - around[1], y + height - around[1]):
            corners.append((around[0] + across * cos - down * sin, around[1] + across * sin + down * cos))
    return box_of_points(corners)


def box_of_circle(center: Sequence[float], on_circle: Sequence[float]) -> tuple[float, float, float, float]:
    """The box around a circle, given its center and a point on it."""
    radius = math.dist(center, on_circle)
    return center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius
