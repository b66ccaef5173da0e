// Blocks of tiles, and where their samples lie in memory.
#pragma once

#include "passes.h"

namespace VW_ISA {

// A block: tile columns [first, first + count) of batch x height x width, depths [depth,
// depth + depths). Tile t of column q is (q - first) * depths + t - depth.
struct Block {
  int first, count, depth, depths;
};

constexpr int kTogether = 4;  // vectors of channels

struct Scratch {
  alignas(64) float patch[kMaxAlpha * kMaxAlpha * kLanes];
  alignas(64) float rows[kMaxAlpha * kMaxAlpha * kLanes];
  alignas(64) float frames[kTogether][kMaxSlots * kLanes];
  alignas(64) float result[kMaxAlpha * kMaxAlpha * kMaxAlpha * kLanes];
};

// A transformed frame of padding.
alignas(64) static const float kNothing[kMaxAlpha * kMaxAlpha * kLanes] = {};

struct Column {
  int n, h, w;
};

static inline Column column_at(const Plan& plan, int index) {
  Column at;
  at.w = index % plan.w.tiles;
  index /= plan.w.tiles;
  at.h = index % plan.h.tiles;
  at.n = index / plan.h.tiles;
  return at;
}

// A clip or a result, N C D H W or N D H W C, or one phase of a clip: every other sample of it, along
// axes with a stride.
struct Volume {
  int channels, depth, height, width;
  bool last;                                   // channels lie last
  ptrdiff_t sample, frame, row, column, lane;  // steps in floats
  ptrdiff_t start;                             // of its first float
  ptrdiff_t end;                               // behind the whole volume's last float
};

static Volume volume_of(int batch, int channels, int depth, int height, int width, bool last) {
  const ptrdiff_t plane = ptrdiff_t(height) * width, places = plane * depth;
  const ptrdiff_t each = last ? channels : 1;
  return {channels, depth, height, width, last, places * channels, plane * each, width * each, each,
          last ? 1 : places, 0, batch * places * channels};
}

static inline Volume result_of(const Plan& plan) {
  return volume_of(plan.batch, plan.out.count, plan.d.output, plan.h.output, plan.w.output,
                   plan.y_last);
}

static inline Volume clip_of(const Plan& plan, const Phases& phases) {
  Volume clip = volume_of(plan.batch, plan.in.count, plan.d.input, plan.h.input, plan.w.input,
                          plan.x_last);
  clip.start = phases.d->offset * clip.frame + phases.h->offset * clip.row +
               phases.w->offset * clip.column;
  clip.depth = phases.d->samples;
  clip.height = phases.h->samples;
  clip.width = phases.w->samples;
  clip.frame *= plan.d.stride;
  clip.row *= plan.h.stride;
  clip.column *= plan.w.stride;
  return clip;
}

// Where one frame's patch lies: in the volume itself, or gathered with zeros around it.
struct Patch {
  const float* start;
  ptrdiff_t row, column;
};

// Rows x columns of one frame, of one vector of channels.
static Patch gather_patch(const Volume& volume, const float* values, int n, int frame,
                          int first_row, int first_column, int rows, int columns, int vector,
                          float* buffer) {
  const int height = volume.height, width = volume.width;
  const int lanes = least(kLanes, volume.channels - vector * kLanes);
  const bool inside = first_row >= 0 && first_row + rows <= height && first_column >= 0 &&
                      first_column + columns <= width;
  const int from = most(0, -first_column), to = least(columns, width - first_column);
  const float* start = values + volume.start + n * volume.sample + frame * volume.frame +
                       first_row * volume.row + first_column * volume.column +
                       vector * kLanes * volume.lane;
  if (volume.last) {
    // Lanes beyond the last channel may hold anything, so also the next pixel's channels.
    const float* end = values + volume.end - kLanes;
    const float* last = start + (rows - 1) * volume.row + (columns - 1) * volume.column;
    if (inside && (lanes == kLanes || last <= end)) return {start, volume.row, volume.column};
    for (int i = 0; i < rows; ++i) {
      const bool there = first_row + i >= 0 && first_row + i < height;
      float* to_row = buffer + i * columns * kLanes;
      for (int j = 0; j < columns; ++j) store(to_row + j * kLanes, zeros());
      if (!there) continue;
      for (int j = from; j < to; ++j) {
        const float* pixel = start + i * volume.row + j * volume.column;
        __builtin_prefetch(pixel + volume.frame);
        store(to_row + j * kLanes,
              lanes == kLanes || pixel <= end ? load(pixel) : load_first(pixel, lanes));
      }
    }
  } else {
    if (!inside || lanes < kLanes)
      for (int i = 0; i < rows * columns; ++i) store(buffer + i * kLanes, zeros());
    for (int i = 0; i < rows; ++i) {
      if (first_row + i < 0 || first_row + i >= height) continue;
      for (int lane = 0; lane < lanes; ++lane) {
        const float* line = start + lane * volume.lane + i * volume.row;
        float* to_lane = buffer + i * columns * kLanes + lane;
        for (int j = from; j < to; ++j) to_lane[j * kLanes] = line[j * volume.column];
      }
    }
  }
  return {buffer, ptrdiff_t(columns) * kLanes, kLanes};
}

}  // namespace VW_ISA
