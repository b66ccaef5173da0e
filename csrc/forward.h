// The forward pass.
//
// A block of tiles goes through input transform, products and output transform while what lies
// between them, V and M, stays in cache. Either each thread takes blocks of its own (private), or
// all threads share one large block and meet between the three steps (team), so that a weight that
// does not fit into cache is read once and not once a block.
#pragma once

#include "gemm.h"
#include "schedule.h"

namespace VW_ISA {

static Schedule forward_schedule(const Plan& plan) {
  const bool team = plan.team < 0 ? 4 * weight_size(plan, plan.in, plan.out) > kTeamWeight
                                  : bool(plan.team);
  return make_schedule(plan, team, 4 * (tile_size(plan, plan.in) + tile_size(plan, plan.out)));
}

static size_t forward_bytes(const Plan& plan, const Schedule& s) {
  return sizeof(float) * s.columns * s.depths *
         size_t(tile_size(plan, plan.in) + tile_size(plan, plan.out));
}

static int forward(const Plan& plan, const float* x, const float* packed,
                   const vw_epilogue& epilogue, float* y) {
  const Schedule s = forward_schedule(plan);
  const size_t bytes = forward_bytes(plan, s);
  const ptrdiff_t v_size = tile_size(plan, plan.in) * s.columns * s.depths;
  const ptrdiff_t u_slot = ptrdiff_t(plan.in.count) * plan.out.vectors * kLanes;
  const int blocks = s.column_blocks * s.depth_blocks;
  const int inputs = ceil_div(plan.in.vectors, kTogether);
  const int outputs = ceil_div(plan.out.vectors, kTogether);
  float* shared = nullptr;
  if (s.team && !(shared = workspace.take(bytes))) return 1;
  int failed = 0;
#pragma omp parallel num_threads(plan.threads)
  {
    Scratch& mine = scratch;
    float* v = s.team ? shared : workspace.take(bytes);
    if (!v) {
#pragma omp atomic write
      failed = 1;
    } else if (s.team) {
      float* m = v + v_size;
      for (int index = 0; index < blocks; ++index) {
        const Block block = block_at(plan, s, index);
        const int count = block.count * block.depths;
#pragma omp for schedule(static)
        for (int item = 0; item < block.count * inputs; ++item)
          transform_input(plan, block, x, block.first + item / inputs, item % inputs * kTogether, v,
                          mine);
#pragma omp for schedule(static)
        for (int slot = 0; slot < plan.slots; ++slot)
          for (int group = 0; group < group_count(plan.out); ++group)
            gemm(plan, plan.in.count, plan.out, count, group, v + slot * kLanes,
                 packed + slot * u_slot, m + slot * kLanes);
#pragma omp for schedule(static)
        for (int item = 0; item < block.count * outputs; ++item)
          transform_output(plan, block, m, block.first + item / outputs,
                           item % outputs * kTogether, epilogue, y, mine);
      }
    } else {
      float* m = v + v_size;
#pragma omp for schedule(dynamic, 1)
      for (int index = 0; index < blocks; ++index) {
        const Block block = block_at(plan, s, index);
        const int count = block.count * block.depths;
        for (int column = 0; column < block.count; ++column)
          for (int vector = 0; vector < plan.in.vectors; vector += kTogether)
            transform_input(plan, block, x, block.first + column, vector, v, mine);
        for (int slot = 0; slot < plan.slots; ++slot)
          for (int group = 0; group < group_count(plan.out); ++group)
            gemm(plan, plan.in.count, plan.out, count, group, v + slot * kLanes,
                 packed + slot * u_slot, m + slot * kLanes);
        for (int column = 0; column < block.count; ++column)
          for (int vector = 0; vector < plan.out.vectors; vector += kTogether)
            transform_output(plan, block, m, block.first + column, vector, epilogue, y, mine);
      }
    }
  }
  return failed;
}

}  // namespace VW_ISA
