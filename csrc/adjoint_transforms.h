// The transposes of the input and the output transform: from the result's gradient to dM, and from dV to the clip's.
#pragma once

#include "adjoint_passes.h"
#include "volume.h"

namespace VW_ISA {

// dM of vectors [vector, vector + kTogether) of a column of tiles.
static void spread_result(const Plan& plan, const Block& block, const float* dy, int column,
                          int vector, float* dm, Scratch& scratch) {
  const InputPass along_d = spread_pass(plan.d), along_h = spread_pass(plan.h),
                  along_w = spread_pass(plan.w);
  const Volume result = result_of(plan);
  const Column at = column_at(plan, column);
  const int vectors = least(kTogether, plan.out.vectors - vector);
  const int tiles = block.count * block.depths;
  float* out =
      dm + (ptrdiff_t(vector) * tiles + ptrdiff_t(column - block.first) * block.depths) * plan.row;
  for (int t = 0; t < block.depths; ++t, out += plan.row)
    for (int i = 0; i < vectors; ++i) {
      const float* in[kMaxAlpha];
      for (int d = 0; d < plan.d.m; ++d) {
        float* to = scratch.frames[0] + d * plan.lines * kLanes;
        const int frame = (block.depth + t) * plan.d.m + d;
        in[d] = to;
        if (frame >= plan.d.output) {
          for (int line = 0; line < plan.lines; ++line) store(to + line * kLanes, zeros());
          continue;
        }
        const Patch patch =
            gather_patch(result, dy, at.n, frame, at.h * plan.h.m, at.w * plan.w.m, plan.h.m,
                         plan.w.m, vector + i, scratch.patch);
        const float* plane[kMaxAlpha];
        for (int j = 0; j < plan.w.m; ++j) plane[j] = patch.start + j * patch.column;
        along_w(plane, patch.row, plan.h.m, &plan.w_mask, 0, scratch.rows, kLanes, plan.w);
        for (int j = 0; j < plan.h.m; ++j) plane[j] = scratch.rows + j * plan.widths * kLanes;
        along_h(plane, kLanes, plan.widths, plan.h_mask, 1, to, kLanes, plan.h);
      }
      along_d(in, kLanes, plan.lines, plan.d_mask, 1, out + i * tiles * plan.row, kLanes, plan.d);
    }
}

// Adds a patch to one frame of the clip's gradient, where it lies inside.
static void add_patch(const Volume& volume, float* values, int n, int frame, int first_row,
                      int first_column, int rows, int columns, int vector, const float* patch) {
  const int lanes = least(kLanes, volume.channels - vector * kLanes);
  const int from_row = most(0, -first_row), to_row = least(rows, volume.height - first_row);
  const int from = most(0, -first_column), to = least(columns, volume.width - first_column);
  float* const start = values + volume.start + n * volume.sample + frame * volume.frame +
                       first_row * volume.row + first_column * volume.column +
                       vector * kLanes * volume.lane;
  for (int i = from_row; i < to_row; ++i) {
    const float* line = patch + i * columns * kLanes;
    if (volume.last) {
      for (int j = from; j < to; ++j) {
        float* place = start + i * volume.row + j * volume.column;
        if (lanes == kLanes)
          store(place, load(place) + load(line + j * kLanes));
        else
          for (int lane = 0; lane < lanes; ++lane) place[lane] += line[j * kLanes + lane];
      }
    } else {
      for (int lane = 0; lane < lanes; ++lane) {
        float* place = start + lane * volume.lane + i * volume.row;
        for (int j = from; j < to; ++j) place[j * volume.column] += line[j * kLanes + lane];
      }
    }
  }
}

// The clip's gradient from one vector of dV of a column of tiles. Tiles overlap: those of
// neighbouring columns must not be added at the same time (see `colours`).
static void collect_clip(const Plan& plan, const Block& block, const float* dv, int column,
                         int vector, float* dx, Scratch& scratch) {
  const OutputPass along_d = collect_pass(plan.d), along_h = collect_pass(plan.h),
                   along_w = collect_pass(plan.w);
  const Phases from = phases_at(plan, 0);
  const Volume clip = clip_of(plan, from);
  const Column at = column_at(plan, column);
  const int ad = plan.d.alpha, ah = plan.h.alpha, aw = plan.w.alpha, md = plan.d.m;
  const int tiles = block.count * block.depths;
  const ptrdiff_t frame_step = ptrdiff_t(plan.lines) * kLanes;
  const float* in =
      dv + (ptrdiff_t(vector) * tiles + ptrdiff_t(column - block.first) * block.depths) * plan.row;
  for (int t = 0; t < block.depths; ++t, in += plan.row) {
    // Frames of neighbouring tiles are added up before they go through the plane's transforms.
    float* out[kMaxAlpha];
    for (int j = 0; j < ad; ++j) out[j] = scratch.result + j * frame_step;
    along_d(in, kLanes, plan.lines, plan.d_mask, 1, out, kLanes, plan.d);
    for (int j = 0; j < ad; ++j) {
      float* sum = scratch.frames[0] + ((t * md + j) % ad) * frame_step;
      const bool begun = t > 0 && j < ad - md;
      for (ptrdiff_t k = 0; k < frame_step; k += kLanes)
        store(sum + k, begun ? load(sum + k) + load(out[j] + k) : load(out[j] + k));
    }
    const int complete = t + 1 == block.depths ? ad : md;
    for (int j = 0; j < complete; ++j) {
      const int frame = (block.depth + t) * md + j + from.d->first;
      if (frame < 0 || frame >= clip.depth) continue;
      for (int i = 0; i < ah; ++i) out[i] = scratch.rows + i * plan.widths * kLanes;
      along_h(scratch.frames[0] + ((t * md + j) % ad) * frame_step, kLanes, plan.widths,
              plan.h_mask, 1, out, kLanes, plan.h);
      for (int i = 0; i < aw; ++i) out[i] = scratch.patch + i * kLanes;
      along_w(scratch.rows, kLanes, ah, &plan.w_mask, 0, out, aw * kLanes, plan.w);
      add_patch(clip, dx, at.n, frame, at.h * plan.h.m + from.h->first,
                at.w * plan.w.m + from.w->first, ah, aw, vector, scratch.patch);
    }
  }
}

}  // namespace VW_ISA
