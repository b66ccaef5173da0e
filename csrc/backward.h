// The gradients of the clip and of the weight, in one walk over blocks of tiles.
//
// All threads share a block and meet between the steps: dM and V by tiles; products by slots, so
// that every weight gradient has one thread that adds to it; the clip's gradient by tiles again, in
// colours, since neighbouring tiles overlap. Sums are made in the same order in every run.
#pragma once

#include "adjoint_transforms.h"
#include "gemm.h"
#include "schedule.h"

namespace VW_ISA {

// Columns of tiles of one colour do not overlap.
struct Colours {
  int h, w;
};

static inline Colours colours(const Plan& plan) {
  return {ceil_div(plan.h.alpha, plan.h.m), ceil_div(plan.w.alpha, plan.w.m)};
}

static void fill_zero(float* values, int64_t count) {
#pragma omp for schedule(static)
  for (int64_t i = 0; i < count; ++i) values[i] = 0;
}

static int backward(const Plan& plan, const float* x, const float* dy, const float* packed,
                    float* dx, float* du) {
  const int64_t v_tile = du ? tile_size(plan, plan.in) : 0;
  const int64_t dm_tile = tile_size(plan, plan.out);
  const int64_t dv_tile = dx ? tile_size(plan, plan.in) : 0;
  const int64_t per_tile = v_tile + dm_tile + dv_tile;
  const Schedule s = make_schedule(plan, true, 4 * per_tile);
  const int64_t tiles = int64_t(s.columns) * s.depths;
  float* const v = workspace.take(sizeof(float) * per_tile * tiles);
  if (!v) return 1;
  float* const dm = v + v_tile * tiles;
  float* const dv = dm + dm_tile * tiles;
  const int inputs = ceil_div(plan.in.vectors, kTogether);
  const int outputs = ceil_div(plan.out.vectors, kTogether);
  const Colours colour = colours(plan);
#pragma omp parallel num_threads(plan.threads)
  {
    Scratch& mine = scratch;
    if (dx) fill_zero(dx, int64_t(plan.batch) * plan.in.count * plan.d.input * plan.h.input * plan.w.input);
    if (du) fill_zero(du, weight_size(plan, plan.in, plan.out));
    for (int index = 0; index < s.column_blocks * s.depth_blocks; ++index) {
      const Block block = block_at(plan, s, index);
      const int count = block.count * block.depths;
#pragma omp for schedule(static) nowait
      for (int item = 0; item < block.count * outputs; ++item)
        spread_result(plan, block, dy, block.first + item / outputs, item % outputs * kTogether,
                      dm, mine);
      if (du) {
#pragma omp for schedule(static) nowait
        for (int item = 0; item < block.count * inputs; ++item)
          transform_input(plan, block, x, block.first + item / inputs, item % inputs * kTogether,
                          v, mine);
      }
#pragma omp barrier
#pragma omp for schedule(static)
      for (int slot = 0; slot < plan.slots; ++slot) {
        const ptrdiff_t at = ptrdiff_t(slot) * kLanes;
        const ptrdiff_t step = count * plan.row;
        if (du)
          for (int group = 0; group < group_count(plan.out); ++group)
            gemm_gradient(plan, count, group, v + at, dm + at,
                          du + weight_at(plan, plan.in.count, plan.out, group, slot));
        if (dx)
          for (int group = 0; group < group_count(plan.in); ++group)
            gemm(plan, plan.out.count, group_vectors(plan.in, group), count, dm + at, step,
                 packed + weight_at(plan, plan.out.count, plan.in, group, slot),
                 dv + at + group_start(plan.in, group) * step, step);
      }
      if (!dx) continue;
      for (int turn = 0; turn < colour.h * colour.w; ++turn) {
#pragma omp for schedule(static)
        for (int item = 0; item < block.count * plan.in.vectors; ++item) {
          const int column = block.first + item / plan.in.vectors;
          const Column at = column_at(plan, column);
          if (at.h % colour.h * colour.w + at.w % colour.w == turn)
            collect_clip(plan, block, dv, column, item % plan.in.vectors, dx, mine);
        }
      }
    }
  }
  return 0;
}

}  // namespace VW_ISA
