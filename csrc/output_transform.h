// From products to the result, one column of tiles and a few vectors of channels at a time.
//
// M: vectors out x T x row, as V.
#pragma once

#include "result.h"

namespace VW_ISA {

static inline void plane_results(const Plan& plan, const float* lines, float* result,
                                 Scratch& scratch) {
  const int mh = plan.h.m, mw = plan.w.m;
  float* out[kMaxAlpha];
  for (int i = 0; i < mh; ++i) out[i] = scratch.rows + i * plan.widths * kLanes;
  output_pass(plan.h)(lines, kLanes, plan.widths, plan.h_mask, 1, out, kLanes, plan.h);
  for (int j = 0; j < mw; ++j) out[j] = result + j * kLanes;
  output_pass(plan.w)(scratch.rows, kLanes, mh, &plan.w_mask, 0, out, mw * kLanes, plan.w);
}

// put(i, j, vector): takes what belongs at row i and column j. POOL: 2 gives it the highest of two
// rows and two columns each, of those that are inside.
template <int ALPHA, int M, int POOL, typename Put>
VW_INLINE void plane_square_results(const float* lines, const OutputFactors<ALPHA, M>& factors,
                                    const Target& to, const Put& put) {
  static_assert(M % POOL == 0, "windows end with their tile");
  constexpr int all = (1 << ALPHA) - 1;
  vec rows[M][ALPHA];
#pragma GCC unroll 8
  for (int j = 0; j < ALPHA; ++j) {
    vec x[ALPHA], y[M];
#pragma GCC unroll 8
    for (int i = 0; i < ALPHA; ++i) x[i] = load(lines + (j * ALPHA + i) * kLanes);
    output_line<ALPHA, M, all>(x, y, factors);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) rows[i][j] = y[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; i += POOL) {
    vec y[M];
    output_line<ALPHA, M, all>(rows[i], y, factors);
    if (POOL > 1 && i + 1 < to.from_rows) {
      vec below[M];
      output_line<ALPHA, M, all>(rows[i + POOL - 1], below, factors);
#pragma GCC unroll 6
      for (int j = 0; j < M; ++j) y[j] = higher(y[j], below[j]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < M; j += POOL) {
      if (POOL > 1 && j + 1 < to.from_columns) y[j] = higher(y[j], y[j + POOL - 1]);
      put(i / POOL, j / POOL, y[j]);
    }
  }
}

// SQUARE as of transform_input_of; with it POOLED means by two along height and width.
template <int SQUARE, int M, bool POOLED>
static void transform_output_of(const Plan& plan, const Block& block, const float* m, int column,
                                int vector, int vectors, const vw_epilogue& epilogue, float* y,
                                Scratch& scratch) {
  const OutputPass along_d = output_pass(plan.d);
  const Column at = column_at(plan, column);
  const Pooling pooling = pooling_of(plan, epilogue);
  const int md = plan.d.m;
  const ptrdiff_t row = plan.w.m * kLanes;
  const int tiles = block.count * block.depths;
  const float* in = m + ptrdiff_t(column - block.first) * block.depths * plan.row;
  constexpr int alpha = SQUARE ? SQUARE : 4, outputs = SQUARE ? M : 2;
  const OutputFactors<alpha, outputs> factors(plan.h.c);
  float* out[kMaxAlpha];
  for (int i = 0; i < md; ++i) out[i] = scratch.frames[0] + i * plan.lines * kLanes;
  for (int item = 0; item < block.depths * vectors; ++item) {
    const int t = item / vectors, i = item % vectors;
    const Target to = target_at<POOLED>(plan, pooling, at, block.depth + t, vector + i, epilogue, y);
    expect_result(to);
    along_d(in + (ptrdiff_t(i) * tiles + t) * plan.row, kLanes, plan.lines, plan.d_mask, 1, out,
            kLanes, plan.d);
    if (POOLED) {
      for (int d = 0; d < to.from_depths; ++d) {
        const PooledFrame put(to, d, pooling.d.pool, scratch.patch);
        if (SQUARE) {
          plane_square_results<alpha, outputs, SQUARE && POOLED ? 2 : 1>(out[d], factors, to, put);
        } else {
          plane_results(plan, out[d], scratch.result, scratch);
          pool_frame(to, pooling, scratch.result, row, put);
        }
        if (put.last && !put.whole)
          write_frame(to, d / pooling.d.pool, scratch.patch, kMaxAlpha * kLanes);
      }
      continue;
    }
    for (int d = 0; d < to.depths; ++d) {
      if (SQUARE && to.lane_step == 1 && to.lanes == kLanes) {
        plane_square_results<alpha, outputs, 1>(out[d], factors, to, WholeFrame(to, d));
        continue;
      }
      if (SQUARE)
        plane_square_results<alpha, outputs, 1>(
            out[d], factors, to, [&](int i, int j, vec value) VW_INLINE_LAMBDA {
              store(scratch.result + i * row + j * kLanes, value);
            });
      else
        plane_results(plan, out[d], scratch.result, scratch);
      if (to.lane_step == 1 && to.lanes == kLanes) {
        const WholeFrame whole(to, d);
        for (int i = 0; i < plan.h.m; ++i)
          for (int j = 0; j < plan.w.m; ++j)
            whole(i, j, load(scratch.result + i * row + j * kLanes));
      } else {
        write_frame(to, d, scratch.result, row);
      }
    }
  }
}

#define VW_SQUARE(alpha, m_, pooled)                                                           \
  case alpha * 8 + m_:                                                                         \
    return transform_output_of<alpha, m_, pooled>(plan, block, m, column, vector, vectors,     \
                                                  epilogue, y, scratch);

// As transform_output, with max pooling.
static void transform_output_pooled(const Plan& plan, const Block& block, const float* m, int column,
                                    int vector, int vectors, const vw_epilogue& epilogue, float* y,
                                    Scratch& scratch) {
  const bool squares = epilogue.pool[1] == 2 && epilogue.pool[2] == 2;
  switch (squares ? plan.square * 8 + plan.h.m : 0) {
    VW_SQUARE(4, 2, true)
    VW_SQUARE(6, 4, true)
    VW_SQUARE(8, 6, true)
    default:
      return transform_output_of<0, 0, true>(plan, block, m, column, vector, vectors, epilogue, y,
                                             scratch);
  }
}

// Vectors [vector, vector + vectors) of a column of tiles; m: the first of them.
static void transform_output(const Plan& plan, const Block& block, const float* m, int column,
                             int vector, int vectors, const vw_epilogue& epilogue, float* y,
                             Scratch& scratch) {
  if (is_pooled(epilogue))
    return transform_output_pooled(plan, block, m, column, vector, vectors, epilogue, y, scratch);
  switch (plan.square * 8 + plan.h.m) {
    VW_SQUARE(4, 2, false)
    VW_SQUARE(5, 3, false)
    VW_SQUARE(6, 4, false)
    VW_SQUARE(7, 5, false)
    VW_SQUARE(8, 6, false)
    VW_SQUARE(4, 3, false)  // two taps
    VW_SQUARE(5, 4, false)
    VW_SQUARE(6, 5, false)
    VW_SQUARE(7, 6, false)
    VW_SQUARE(5, 2, false)  // four taps
    VW_SQUARE(6, 3, false)
    VW_SQUARE(7, 4, false)
    VW_SQUARE(8, 5, false)
    default:
      return transform_output_of<0, 0, false>(plan, block, m, column, vector, vectors, epilogue, y,
                                              scratch);
  }
}

}  // namespace VW_ISA
