// From the clip to transformed tiles, V, one column of tiles (all depths of one place of the picture)
// and a few vectors of channels at a time: memory is then read in runs of several cache lines.
//
// V: phases x vectors in x T x row, where a row holds the slots x lanes of a tile (and is written and
// read from end to end) and T is the tiles of a block. Without strides there is one phase.
// A frame's height and width transforms are computed once and shared by the tiles it is in.
#pragma once

#include "volume.h"

namespace VW_ISA {

// The clip's next frame is far away in memory, where no prefetcher of the machine looks.
static inline void expect_patch(const Plan& plan, const Volume& clip, const Patch& patch) {
  const float* next = patch.start + clip.frame;
  for (int i = 0; i < plan.h.alpha; ++i)
    for (int j = 0; j < plan.w.alpha; ++j)
      __builtin_prefetch(next + i * patch.row + j * patch.column);
}

// Height and width of one frame: from a patch to the plan's lines.
static inline void plane_lines(const Plan& plan, const Patch& patch, float* to, Scratch& scratch) {
  const int ah = plan.h.alpha, aw = plan.w.alpha;
  const float* in[kMaxAlpha];
  for (int j = 0; j < aw; ++j) in[j] = patch.start + j * patch.column;
  input_pass(plan.w)(in, patch.row, ah, &plan.w_mask, 0, scratch.rows, kLanes, plan.w);
  for (int i = 0; i < ah; ++i) in[i] = scratch.rows + i * plan.widths * kLanes;
  input_pass(plan.h)(in, kLanes, plan.widths, plan.h_mask, 1, to, kLanes, plan.h);
}

// The same, of every line, where height and width are alike and most lines are kept: the usual case,
// also of pruned layers, whose lines lose depths before they go altogether.
template <int ALPHA>
VW_INLINE void plane_square(const Patch& patch, const InputFactors<ALPHA>& factors, float* to) {
  constexpr bool zero = ALPHA % 2 == 0;
  constexpr int pairs = (ALPHA - 1 - zero) / 2, all = (1 << ALPHA) - 1;
  // Two widths at a time, all heights of which stay in registers between the two transforms.
#pragma GCC unroll 4
  for (int k = 0; k <= pairs; ++k) {
    vec one[ALPHA], other[ALPHA];
    const bool ends = k == pairs;
#pragma GCC unroll 8
    for (int i = 0; i < ALPHA; ++i) {
      const float* from = patch.start + i * patch.row;
      vec x[ALPHA];
#pragma GCC unroll 8
      for (int j = 0; j < ALPHA; ++j) x[j] = load(from + j * patch.column);
      if (ends) {
        if (zero) one[i] = input_zero<ALPHA>(x, factors);
        other[i] = input_infinity<ALPHA>(x, factors);
      } else {
        input_pair<ALPHA>(x, k, factors, one[i], other[i]);
      }
    }
    if (!ends || zero)
      input_line<ALPHA, all>(one, to + (ends ? 0 : zero + 2 * k) * ALPHA * kLanes, kLanes,
                             factors);
    input_line<ALPHA, all>(other, to + (ends ? ALPHA - 1 : zero + 2 * k + 1) * ALPHA * kLanes,
                           kLanes, factors);
  }
}

// Items of a column of tiles: kTogether vectors of one phase.
static inline int phase_items(const Plan& plan) { return ceil_div(plan.in.vectors, kTogether); }
static inline int input_items(const Plan& plan) { return plan.phases * phase_items(plan); }

// SQUARE: the alpha of height and width where plane_square serves, else 0.
template <int SQUARE>
static void transform_input_of(const Plan& plan, const Block& block, const float* x, int column,
                               int item, float* v, Scratch& scratch) {
  const InputPass along_d = input_pass(plan.d);
  const int phase = item / phase_items(plan), vector = item % phase_items(plan) * kTogether;
  const Phases from = phases_at(plan, phase);
  const Volume clip = clip_of(plan, from);
  const Column at = column_at(plan, column);
  const int ad = plan.d.alpha;
  const int vectors = least(kTogether, plan.in.vectors - vector);
  const int tiles = block.count * block.depths;
  const ptrdiff_t frame_step = ptrdiff_t(plan.lines) * kLanes;
  float* out =
      v + (ptrdiff_t(phase * plan.in.vectors + vector) * tiles +
           ptrdiff_t(column - block.first) * block.depths) * plan.row;
  constexpr int alpha = SQUARE ? SQUARE : 4;
  const InputFactors<alpha> factors(plan.h.c);
  const int first = block.depth * plan.d.m;  // in frames from that of the first tile
  int done = first;
  for (int t = 0; t < block.depths; ++t, out += plan.row) {
    for (const int stop = first + t * plan.d.m + ad; done < stop; ++done) {
      const int frame = done + from.d->first;
      if (frame < 0 || frame >= clip.depth) continue;
      for (int i = 0; i < vectors; ++i) {
        float* to = scratch.frames[i] + (done % ad) * frame_step;
        const Patch patch = gather_patch(
            clip, x, at.n, frame, at.h * plan.h.m + from.h->first, at.w * plan.w.m + from.w->first,
            plan.h.alpha, plan.w.alpha, vector + i, scratch.patch);
        if (patch.start != scratch.patch && frame + 1 < clip.depth) expect_patch(plan, clip, patch);
        if (SQUARE)
          plane_square<alpha>(patch, factors, to);
        else
          plane_lines(plan, patch, to, scratch);
      }
    }
    for (int i = 0; i < vectors; ++i) {
      const float* in[kMaxAlpha];
      for (int j = 0; j < ad; ++j) {
        const int place = first + t * plan.d.m + j, frame = place + from.d->first;
        const bool there = frame >= 0 && frame < clip.depth;
        in[j] = there ? scratch.frames[i] + place % ad * frame_step : kNothing;
      }
      along_d(in, kLanes, plan.lines, plan.d_mask, 1, out + i * tiles * plan.row, kLanes, plan.d);
    }
  }
}

// One item, some vectors of one phase, of a column of tiles.
static void transform_input(const Plan& plan, const Block& block, const float* x, int column,
                            int item, float* v, Scratch& scratch) {
  switch (plan.square) {
    case 4: return transform_input_of<4>(plan, block, x, column, item, v, scratch);
    case 5: return transform_input_of<5>(plan, block, x, column, item, v, scratch);
    case 6: return transform_input_of<6>(plan, block, x, column, item, v, scratch);
    case 7: return transform_input_of<7>(plan, block, x, column, item, v, scratch);
    case 8: return transform_input_of<8>(plan, block, x, column, item, v, scratch);
    default: return transform_input_of<0>(plan, block, x, column, item, v, scratch);
  }
}

}  // namespace VW_ISA
