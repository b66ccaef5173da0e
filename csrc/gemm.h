// The element-wise product of a Winograd convolution: one matrix product a slot,
// M (T x C_out) = V (T x C_in) U (C_in x C_out), in registers of ROWS tiles x VECTORS channels.
#pragma once

#include "plan.h"

namespace VW_ISA {

// v: tile-major lanes of one vector of channels, the next vector `v_step` on; u: C_in rows of
// VECTORS vectors; m: as v. An accumulator stays in its register through the whole sum. ahead: what
// of the weight to fetch meanwhile, so many floats a step.
template <int ROWS, int VECTORS>
static void gemm_tile(const float* v, ptrdiff_t row, ptrdiff_t v_step, const float* u, int channels,
                      float* m, ptrdiff_t m_step, const float* ahead, int ahead_step) {
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) sum[r][n] = zeros();
  for (; channels > 0; channels -= kLanes, v += v_step) {
    const int count = least(channels, kLanes);
    // The next slot's part of these rows.
#pragma GCC unroll 32
    for (int r = 0; r < ROWS; ++r) __builtin_prefetch(v + r * row + kLanes);
    for (int k = 0; k < count; ++k, u += VECTORS * kLanes) {
      vec b[VECTORS];
#pragma GCC unroll 4
      for (int n = 0; n < VECTORS; ++n) b[n] = load(u + n * kLanes);
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + kCacheLine, 0, 2);
      ahead += ahead_step;
#pragma GCC unroll 32
      for (int r = 0; r < ROWS; ++r) {
        const float a = v[r * row + k];
#pragma GCC unroll 4
        for (int n = 0; n < VECTORS; ++n) sum[r][n] += b[n] * a;
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) store(m + n * m_step + r * row, sum[r][n]);
}

typedef void (*GemmTile)(const float* v, ptrdiff_t row, ptrdiff_t v_step, const float* u,
                         int channels, float* m, ptrdiff_t m_step, const float* ahead,
                         int ahead_step);

// Rows that fill the registers beside the vectors of u and one broadcast value.
#if VW_REGISTERS == 32
constexpr int kRows[kMaxVectors + 1] = {0, 14, 12, 8, 6};
#else
constexpr int kRows[kMaxVectors + 1] = {0, 12, 6, 4, 2};
#endif
constexpr int kMostRows = 14;

template <int VECTORS>
static GemmTile gemm_tile_of(int rows) {
  switch (rows) {
    case 1: return gemm_tile<1, VECTORS>;
    case 2: return gemm_tile<2, VECTORS>;
    case 3: return gemm_tile<least_of(3, kRows[VECTORS]), VECTORS>;
    case 4: return gemm_tile<least_of(4, kRows[VECTORS]), VECTORS>;
    case 5: return gemm_tile<least_of(5, kRows[VECTORS]), VECTORS>;
    case 6: return gemm_tile<least_of(6, kRows[VECTORS]), VECTORS>;
    case 7: return gemm_tile<least_of(7, kRows[VECTORS]), VECTORS>;
    case 8: return gemm_tile<least_of(8, kRows[VECTORS]), VECTORS>;
    case 9: return gemm_tile<least_of(9, kRows[VECTORS]), VECTORS>;
    case 10: return gemm_tile<least_of(10, kRows[VECTORS]), VECTORS>;
    case 11: return gemm_tile<least_of(11, kRows[VECTORS]), VECTORS>;
    case 12: return gemm_tile<least_of(12, kRows[VECTORS]), VECTORS>;
    case 13: return gemm_tile<least_of(13, kRows[VECTORS]), VECTORS>;
    default: return gemm_tile<least_of(14, kRows[VECTORS]), VECTORS>;
  }
}

static GemmTile gemm_tile(int rows, int vectors) {
  switch (vectors) {
    case 1: return gemm_tile_of<1>(rows);
    case 2: return gemm_tile_of<2>(rows);
    case 3: return gemm_tile_of<3>(rows);
    default: return gemm_tile_of<4>(rows);
  }
}

// A weight lies by groups of the product's columns, then slots, then what is summed over: a thread
// that has a group reads on and on.
static inline ptrdiff_t weight_at(const Plan& plan, int sums, const Channels& to, int group,
                                  int slot) {
  return (ptrdiff_t(group_start(to, group)) * plan.slots + ptrdiff_t(slot) * group_vectors(to, group)) *
         sums * kLanes;
}

// Tiles of one slot, for one group of the product's columns. sums: channels summed over; v_step,
// m_step: from one vector of channels to the next; m: the group's first vector.
static void gemm(const Plan& plan, int sums, int vectors, int tiles, const float* v,
                 ptrdiff_t v_step, const float* u, float* m, ptrdiff_t m_step) {
  const int pieces = ceil_div(tiles, kRows[vectors]);
  // Each piece fetches its share of the next slot's weight. Left to the machine's prefetcher, the
  // first piece waits for memory, and memory waits for the others.
  const ptrdiff_t next = ptrdiff_t(sums) * vectors * kLanes;
  for (int piece = 0, done = 0; piece < pieces; ++piece) {
    const int rows = ceil_div(tiles - done, pieces - piece);
    gemm_tile(rows, vectors)(v + done * plan.row, plan.row, v_step, u, sums, m + done * plan.row,
                             m_step, u + next + next * piece / pieces, vectors * kLanes / pieces);
    done += rows;
  }
}

// The same for every slot.
static void gemm_slots(const Plan& plan, int sums, const Channels& to, int group, int tiles,
                       const float* v, ptrdiff_t v_step, const float* packed, float* m,
                       ptrdiff_t m_step) {
  const int vectors = group_vectors(to, group);
  const float* u = packed + weight_at(plan, sums, to, group, 0);
  for (int slot = 0; slot < plan.slots; ++slot, u += ptrdiff_t(sums) * vectors * kLanes)
    gemm(plan, sums, vectors, tiles, v + slot * kLanes, v_step, u, m + slot * kLanes, m_step);
}

// The weight's gradient, dU (C_in x C_out) += V^T (C_in x T) dM (T x C_out): the sum runs over
// tiles. v: ROWS neighbouring channels of the first tile; m: VECTORS vectors, `m_step` apart.
template <int ROWS, int VECTORS>
static void gradient_tile(const float* v, const float* m, ptrdiff_t row, ptrdiff_t m_step,
                          int tiles, float* u) {
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) sum[r][n] = load(u + (r * VECTORS + n) * kLanes);
  for (int t = 0; t < tiles; ++t, v += row, m += row) {
    vec b[VECTORS];
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) b[n] = load(m + n * m_step);
#pragma GCC unroll 32
    for (int r = 0; r < ROWS; ++r) {
      const float a = v[r];
#pragma GCC unroll 4
      for (int n = 0; n < VECTORS; ++n) sum[r][n] += b[n] * a;
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) store(u + (r * VECTORS + n) * kLanes, sum[r][n]);
}

typedef void (*GradientTile)(const float* v, const float* m, ptrdiff_t row, ptrdiff_t m_step,
                             int tiles, float* u);

template <int VECTORS>
static GradientTile gradient_tile_of(int rows) {
  switch (rows) {
    case 1: return gradient_tile<1, VECTORS>;
    case 2: return gradient_tile<2, VECTORS>;
    case 3: return gradient_tile<least_of(3, kRows[VECTORS]), VECTORS>;
    case 4: return gradient_tile<least_of(4, kRows[VECTORS]), VECTORS>;
    case 5: return gradient_tile<least_of(5, kRows[VECTORS]), VECTORS>;
    case 6: return gradient_tile<least_of(6, kRows[VECTORS]), VECTORS>;
    case 7: return gradient_tile<least_of(7, kRows[VECTORS]), VECTORS>;
    default: return gradient_tile<least_of(8, kRows[VECTORS]), VECTORS>;
  }
}

static GradientTile gradient_tile(int rows, int vectors) {
  switch (vectors) {
    case 1: return gradient_tile_of<1>(rows);
    case 2: return gradient_tile_of<2>(rows);
    case 3: return gradient_tile_of<3>(rows);
    default: return gradient_tile_of<4>(rows);
  }
}

// All input channels of one slot, for one group of output channels; u as `pack` lays it out.
static void gemm_gradient(const Plan& plan, int tiles, int group, const float* v, const float* m,
                          float* u) {
  const int vectors = group_vectors(plan.out, group);
  const ptrdiff_t step = tiles * plan.row;
  const int most_rows = least(8, kRows[vectors]);
  m += group_start(plan.out, group) * step;
  for (int vector = 0; vector < plan.in.vectors; ++vector, v += step) {
    const int lanes = least(kLanes, plan.in.count - vector * kLanes);
    const int pieces = ceil_div(lanes, most_rows);
    for (int piece = 0, done = 0; piece < pieces; ++piece) {
      const int rows = ceil_div(lanes - done, pieces - piece);
      gradient_tile(rows, vectors)(v + done, m, plan.row, step, tiles, u);
      u += ptrdiff_t(rows) * vectors * kLanes;
      done += rows;
    }
  }
}

}  // namespace VW_ISA
