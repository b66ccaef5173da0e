// From products to the result, one column of tiles and a few vectors of channels at a time.
//
// M: vectors out x T x row, as V.
#pragma once

#include "volume.h"

namespace VW_ISA {

// Where a tile's vector of channels goes in the result, and what is done to it on the way.
struct Target {
  float* values;          // of the first of the tile's places and channels
  const float* residual;  // as values, or null
  const float* bias;      // of the first channel, or null
  bool relu, streamed;
  int depths, rows, columns, lanes;                // that are inside the result
  ptrdiff_t frame_step, row_step, column_step, lane_step;  // in floats
};

static inline Target target_at(const Plan& plan, const Column& at, int tile, int vector,
                               const vw_epilogue& epilogue, float* y) {
  Target to;
  to.depths = least(plan.d.m, plan.d.output - tile * plan.d.m);
  to.rows = least(plan.h.m, plan.h.output - at.h * plan.h.m);
  to.columns = least(plan.w.m, plan.w.output - at.w * plan.w.m);
  to.lanes = least(kLanes, plan.out.count - vector * kLanes);
  const ptrdiff_t places = ptrdiff_t(plan.d.output) * plan.h.output * plan.w.output;
  to.column_step = plan.y_last ? plan.out.count : 1;
  to.row_step = plan.w.output * to.column_step;
  to.frame_step = plan.h.output * to.row_step;
  to.lane_step = plan.y_last ? 1 : places;
  const ptrdiff_t place = at.n * places * plan.out.count + tile * plan.d.m * to.frame_step +
                          at.h * plan.h.m * to.row_step + at.w * plan.w.m * to.column_step +
                          vector * kLanes * to.lane_step;
  to.values = y + place;
  to.residual = epilogue.residual ? epilogue.residual + place : nullptr;
  to.bias = epilogue.bias ? epilogue.bias + vector * kLanes : nullptr;
  to.relu = epilogue.relu;
  to.streamed = plan.streamed;
  return to;
}

// Rows x columns of one frame, from memory.
static void write_frame(const Target& to, int frame, const float* from, ptrdiff_t from_row) {
  for (int i = 0; i < to.rows; ++i)
    for (int lane = 0; lane < to.lanes; ++lane)
      for (int j = 0; j < to.columns; ++j) {
        const ptrdiff_t place = frame * to.frame_step + i * to.row_step + j * to.column_step +
                                lane * to.lane_step;
        float value = from[i * from_row + j * kLanes + lane];
        if (to.bias) value += to.bias[lane];
        if (to.residual) value += to.residual[place];
        to.values[place] = to.relu && value < 0 ? 0 : value;
      }
}

// Puts the vectors of one frame where they belong, for whole vectors of channels that lie last.
struct WholeFrame {
  float* values;
  const float* residual;
  vec bias, floor;
  bool streamed;
  int rows, columns;
  ptrdiff_t row_step, column_step;

  VW_INLINE_MEMBER WholeFrame(const Target& to, int frame)
      : values(to.values + frame * to.frame_step),
        residual(to.residual ? to.residual + frame * to.frame_step : nullptr),
        bias(to.bias ? load(to.bias) : zeros()),
        floor(zeros() - (to.relu ? 0.0f : __builtin_inff())),
        streamed(to.streamed),
        rows(to.rows),
        columns(to.columns),
        row_step(to.row_step),
        column_step(to.column_step) {}

  VW_INLINE_MEMBER void operator()(int i, int j, vec value) const {
    if (i >= rows || j >= columns) return;
    const ptrdiff_t place = i * row_step + j * column_step;
    value += bias;
    if (residual) value += load(residual + place);
    put(values + place, value < floor ? floor : value, streamed);
  }
};

// The result's lines come into the cache while the tile is still being computed.
static inline void expect_result(const Target& to) {
  if (to.lane_step != 1 || to.streamed) return;
  for (int d = 0; d < to.depths; ++d)
    for (int i = 0; i < to.rows; ++i)
      for (int j = 0; j < to.columns; ++j)
        __builtin_prefetch(to.values + d * to.frame_step + i * to.row_step + j * to.column_step, 1);
}

static inline void plane_results(const Plan& plan, const float* lines, float* result,
                                 Scratch& scratch) {
  const int mh = plan.h.m, mw = plan.w.m;
  float* out[kMaxAlpha];
  for (int i = 0; i < mh; ++i) out[i] = scratch.rows + i * plan.widths * kLanes;
  output_pass(plan.h)(lines, kLanes, plan.widths, plan.h_mask, 1, out, kLanes, plan.h);
  for (int j = 0; j < mw; ++j) out[j] = result + j * kLanes;
  output_pass(plan.w)(scratch.rows, kLanes, mh, &plan.w_mask, 0, out, mw * kLanes, plan.w);
}

// put(i, j, vector): takes what belongs at row i and column j.
template <int ALPHA, int M, typename Put>
VW_INLINE void plane_square_results(const float* lines, const OutputFactors<ALPHA, M>& factors,
                                    const Put& put) {
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
  for (int i = 0; i < M; ++i) {
    vec y[M];
    output_line<ALPHA, M, all>(rows[i], y, factors);
#pragma GCC unroll 6
    for (int j = 0; j < M; ++j) put(i, j, y[j]);
  }
}

// SQUARE as of transform_input_of.
template <int SQUARE, int M>
static void transform_output_of(const Plan& plan, const Block& block, const float* m, int column,
                                int vector, int vectors, const vw_epilogue& epilogue, float* y,
                                Scratch& scratch) {
  const OutputPass along_d = output_pass(plan.d);
  const Column at = column_at(plan, column);
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
    const Target to = target_at(plan, at, block.depth + t, vector + i, epilogue, y);
    expect_result(to);
    along_d(in + (ptrdiff_t(i) * tiles + t) * plan.row, kLanes, plan.lines, plan.d_mask, 1, out,
            kLanes, plan.d);
    for (int d = 0; d < to.depths; ++d) {
      if (SQUARE && to.lane_step == 1 && to.lanes == kLanes) {
        plane_square_results<alpha, outputs>(out[d], factors, WholeFrame(to, d));
        continue;
      }
      if (SQUARE)
        plane_square_results<alpha, outputs>(out[d], factors, [&](int i, int j, vec value) VW_INLINE_LAMBDA {
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

#define VW_SQUARE(alpha, m_)                                                                    \
  case alpha * 8 + m_:                                                                         \
    return transform_output_of<alpha, m_>(plan, block, m, column, vector, vectors, epilogue, y, \
                                          scratch);

// Vectors [vector, vector + vectors) of a column of tiles; m: the first of them.
static void transform_output(const Plan& plan, const Block& block, const float* m, int column,
                             int vector, int vectors, const vw_epilogue& epilogue, float* y,
                             Scratch& scratch) {
  switch (plan.square * 8 + plan.h.m) {
    VW_SQUARE(4, 2)
    VW_SQUARE(5, 3)
    VW_SQUARE(6, 4)
    VW_SQUARE(7, 5)
    VW_SQUARE(8, 6)
    VW_SQUARE(4, 3)  // two taps
    VW_SQUARE(5, 4)
    VW_SQUARE(6, 5)
    VW_SQUARE(7, 6)
    VW_SQUARE(5, 2)  // four taps
    VW_SQUARE(6, 3)
    VW_SQUARE(7, 4)
    VW_SQUARE(8, 5)
    default:
      return transform_output_of<0, 0>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
  }
}

}  // namespace VW_ISA
