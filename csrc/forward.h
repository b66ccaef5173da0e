// The forward pass.
//
// A block of tiles goes through input transform, products and output transform while what lies
// between them, V and M, stays in cache. Either each thread takes blocks of its own (private), or
// all threads transform one large block and then take parts of its products, a group of output
// channels and a few columns of tiles at a time, through to the result (team): a weight that does
// not fit into cache is then read as seldom as can be.
#pragma once

#include "gather_phases.h"
#include "gemm.h"
#include "input_transform.h"
#include "output_transform.h"
#include "schedule.h"

namespace VW_ISA {

// What a team's thread takes at a time: columns of tiles, for one group of output channels.
struct Part {
  int columns, count;
};

static int64_t product_tile(const Plan& plan) {
  return int64_t(plan.row) * group_vectors(plan.out, 0);
}

static Schedule forward_schedule(const Plan& plan) {
  const int64_t v = input_tile(plan), m = product_tile(plan);
  if (plan.phases > 1) {
    // V of a few tiles is larger than a core's cache in any case; the weight, of all phases, is
    // what must not be read too often.
    const bool team = plan.team < 0 ? weight_bytes(plan) > kPhasesTeamWeight : bool(plan.team);
    return make_schedule(plan, team, 4 * (team ? v : v + m));
  }
  const Schedule own = make_schedule(plan, false, 4 * (v + m));
  // With a block for each thread, all would read the same weight at the same time.
  const bool one_each = plan.threads > 1 && own.column_blocks * own.depth_blocks <= plan.threads;
  const int64_t near = one_each ? kSharedWeight : kTeamWeight;
  const bool team = plan.team < 0 ? weight_bytes(plan) > near : bool(plan.team);
  return team ? make_schedule(plan, true, 4 * v) : own;
}

// M of a part stays in the core's own cache, unless the weight comes from far away: then it is
// read once for as many tiles as the shared cache allows.
static Part forward_part(const Plan& plan, const Schedule& s) {
  const bool far = weight_bytes(plan) > kFarWeight;
  const int64_t tiles = (far ? kFarProductBytes : kProductBytes) / (4 * product_tile(plan));
  const int most_tiles = most(kLeastTiles, int(tiles));
  int count = ceil_div(s.columns * s.depths, most_tiles);
  // Enough parts for all threads.
  while (count * group_count(plan.out) < plan.threads && count < s.columns) ++count;
  const int columns = ceil_div(s.columns, least(count, s.columns));
  return {columns, ceil_div(s.columns, columns)};
}

struct Memory {
  size_t shared, own;  // bytes: of the team, of each thread
};

static Memory forward_memory(const Plan& plan, const Schedule& s) {
  const size_t v = sizeof(float) * input_tile(plan) * s.columns * s.depths;
  const size_t m = sizeof(float) * product_tile(plan) * s.depths;
  if (s.team) return {v, m * forward_part(plan, s).columns};
  return {0, v + m * s.columns};
}

// The products of some columns of tiles with one group of output channels, and their results.
// v: the first of the tiles.
static void finish(const Plan& plan, const Block& block, int group, const float* v,
                   ptrdiff_t v_step, const void* packed, const vw_epilogue& epilogue, float* m,
                   float* y, Scratch& scratch) {
  const int tiles = block.count * block.depths;
  const float* scales = static_cast<const float*>(packed);
  if (plan.narrow)
    gemm_slots(plan, group, tiles, v, v_step,
               reinterpret_cast<const int16_t*>(scales + scales_of(plan)), scales, m,
               tiles * plan.row);
  else
    gemm_slots(plan, group, tiles, v, v_step, scales,
               static_cast<const float*>(nullptr), m, tiles * plan.row);
  for (int column = 0; column < block.count; ++column)
    transform_output(plan, block, m, block.first + column, group_start(plan.out, group),
                     group_vectors(plan.out, group), epilogue, y, scratch);
}

static void forward_private(const Plan& plan, const Schedule& s, const float* x,
                            const void* packed, const vw_epilogue& epilogue, float* v, float* y,
                            Scratch& scratch) {
  float* m = v + input_tile(plan) * s.columns * s.depths;
#pragma omp for schedule(dynamic, 1)
  for (int index = 0; index < s.column_blocks * s.depth_blocks; ++index) {
    const Block block = block_at(plan, s, index);
    for (int column = 0; column < block.count; ++column)
      for (int item = 0; item < input_items(plan); ++item)
        transform_input(plan, block, x, block.first + column, item, v, scratch);
    for (int group = 0; group < group_count(plan.out); ++group)
      finish(plan, block, group, v, block.count * block.depths * plan.row, packed, epilogue, m, y,
             scratch);
  }
}

static void forward_team(const Plan& plan, const Schedule& s, const float* x, const void* packed,
                         const vw_epilogue& epilogue, float* v, float* m, float* y,
                         Scratch& scratch) {
  const Part part = forward_part(plan, s);
  const int inputs = input_items(plan);
  for (int index = 0; index < s.column_blocks * s.depth_blocks; ++index) {
    const Block block = block_at(plan, s, index);
#pragma omp for schedule(static)
    for (int item = 0; item < block.count * inputs; ++item)
      transform_input(plan, block, x, block.first + item / inputs, item % inputs, v, scratch);
#pragma omp for schedule(dynamic, 1)
    for (int item = 0; item < group_count(plan.out) * part.count; ++item) {
      Block some = block;
      some.first += item % part.count * part.columns;
      some.count = least(part.columns, block.first + block.count - some.first);
      if (some.count > 0)
        finish(plan, some, item / part.count,
               v + ptrdiff_t(some.first - block.first) * block.depths * plan.row,
               block.count * block.depths * plan.row, packed, epilogue, m, y, scratch);
    }
  }
}

static int forward(Plan& plan, const float* x, const void* packed,
                   const vw_epilogue& epilogue, float* y) {
  const Pooling pooling = pooling_of(plan, epilogue);
  const int64_t places = int64_t(plan.batch) * pooling.d.size * pooling.h.size * pooling.w.size;
  plan.streamed =
      plan.y_last && plan.out.count % kLanes == 0 && is_streamed(y, places * plan.out.count);
  const Schedule s = forward_schedule(plan);
  const Memory memory = forward_memory(plan, s);
  float* const clip = plan.gathered ? gathered.take(sizeof(float) * gathered_size(plan)) : nullptr;
  if (plan.gathered && !clip) return 1;
  float* const shared = s.team ? workspace.take(memory.shared) : nullptr;
  if (s.team && !shared) return 1;
  int failed = 0;
#pragma omp parallel num_threads(plan.threads)
  {
    float* const own = (s.team ? products : workspace).take(memory.own);
    if (!own) {
#pragma omp atomic write
      failed = 1;
    }
    if (clip) gather_phases(plan, x, clip);
#pragma omp barrier
    const float* const from = clip ? clip : x;
    if (failed) {
    } else if (s.team) {
      forward_team(plan, s, from, packed, epilogue, shared, own, y, scratch);
    } else {
      forward_private(plan, s, from, packed, epilogue, own, y, scratch);
    }
    settle();
  }
  return failed;
}

}  // namespace VW_ISA
