// The element-wise product of a Winograd convolution: one matrix product a slot,
// M (T x C_out) = V (T x C_in) U (C_in x C_out), in registers of ROWS tiles x VECTORS channels.
#pragma once

#include "plan.h"

namespace VW_ISA {

// v: tile-major lanes of one vector of channels, the next vector `v_step` on; u: C_in rows of
// VECTORS vectors; m: as v. An accumulator stays in its register through the whole sum.
template <int ROWS, int VECTORS>
static void gemm_tile(const float* v, ptrdiff_t row, ptrdiff_t v_step, const float* u, int channels,
                      float* m, ptrdiff_t m_step) {
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
                         int channels, float* m, ptrdiff_t m_step);

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

// All tiles of one slot, for one group of output channels.
static void gemm(const Plan& plan, int tiles, int group, const float* v, const float* u, float* m) {
  const int vectors = group_vectors(plan, group);
  const int start = group_start(plan, group);
  const ptrdiff_t step = tiles * plan.row;
  const int pieces = ceil_div(tiles, kRows[vectors]);
  u += ptrdiff_t(start) * kLanes * plan.in_channels;
  m += start * step;
  for (int piece = 0, done = 0; piece < pieces; ++piece) {
    const int rows = ceil_div(tiles - done, pieces - piece);
    gemm_tile(rows, vectors)(v + done * plan.row, plan.row, step, u, plan.in_channels,
                             m + done * plan.row, step);
    done += rows;
  }
}

}  // namespace VW_ISA
