/* A window of an image whose channels are last in memory, as the tiles at its border see it. */
#ifndef WINOGRAD_WINDOW_H
#define WINOGRAD_WINDOW_H
#include <stddef.h>
#include <string.h>

#define WINOGRAD_LANES 16

/* out (size, size, WINOGRAD_LANES) = pixels of image (height, width, channels) from (y, x) on, 0 outside. */
static void window(const float *image, int height, int width, int channels, int y, int x, int size, float *out) {
    for (int i = y; i < y + size; i++)
        for (int j = x; j < x + size; j++, out += WINOGRAD_LANES) {
            if (0 <= i && i < height && 0 <= j && j < width)
                memcpy(out, image + ((ptrdiff_t)i * width + j) * channels, WINOGRAD_LANES * sizeof(float));
            else
                memset(out, 0, WINOGRAD_LANES * sizeof(float));
        }
}

#endif
