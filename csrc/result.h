// Where results go, and what is done to them on the way: bias, residual, ReLU, max pooling.
#pragma once

#include "volume.h"

namespace VW_ISA {

// Max pooling along one axis. m is a multiple of the pool, so no window reaches into another tile.
struct Pool {
  int pool;  // 1 or 2
  int size;  // of the result
  int used;  // samples before pooling that the result is made of
};

static inline Pool pool_along(const Axis& axis, const vw_epilogue& epilogue, int index) {
  const int pool = most(1, epilogue.pool[index]);
  const int size = epilogue.pool_ceil ? ceil_div(axis.output, pool) : axis.output / pool;
  return {pool, size, least(axis.output, size * pool)};
}

struct Pooling {
  Pool d, h, w;
};

static inline Pooling pooling_of(const Plan& plan, const vw_epilogue& epilogue) {
  return {pool_along(plan.d, epilogue, 0), pool_along(plan.h, epilogue, 1),
          pool_along(plan.w, epilogue, 2)};
}

static inline bool is_pooled(const vw_epilogue& epilogue) {
  return epilogue.pool[0] > 1 || epilogue.pool[1] > 1 || epilogue.pool[2] > 1;
}

// Where a tile's vector of channels goes in the result, and what is done to it on the way.
struct Target {
  float* values;          // of the first of the tile's places and channels
  const float* residual;  // as values, or null
  const float* bias;      // of the first channel, or null
  bool relu, streamed;
  int depths, rows, columns, lanes;                // that are inside the result
  int from_depths, from_rows, from_columns;        // before pooling, that these are made of
  ptrdiff_t frame_step, row_step, column_step, lane_step;  // in floats
};

// POOLED: else the pooling is known to be of single samples.
template <bool POOLED>
static inline Target target_at(const Plan& plan, const Pooling& pooling, const Column& at, int tile,
                               int vector, const vw_epilogue& epilogue, float* y) {
  Target to;
  const Pool &d = pooling.d, &h = pooling.h, &w = pooling.w;
  to.from_depths = least(plan.d.m, d.used - tile * plan.d.m);
  to.from_rows = least(plan.h.m, h.used - at.h * plan.h.m);
  to.from_columns = least(plan.w.m, w.used - at.w * plan.w.m);
  const int pool_d = POOLED ? d.pool : 1, pool_h = POOLED ? h.pool : 1,
            pool_w = POOLED ? w.pool : 1;
  to.depths = ceil_div(to.from_depths, pool_d);
  to.rows = ceil_div(to.from_rows, pool_h);
  to.columns = ceil_div(to.from_columns, pool_w);
  to.lanes = least(kLanes, plan.out.count - vector * kLanes);
  const ptrdiff_t places = ptrdiff_t(d.size) * h.size * w.size;
  to.column_step = plan.y_last ? plan.out.count : 1;
  to.row_step = w.size * to.column_step;
  to.frame_step = h.size * to.row_step;
  to.lane_step = plan.y_last ? 1 : places;
  const ptrdiff_t place = at.n * places * plan.out.count +
                          tile * (plan.d.m / pool_d) * to.frame_step +
                          at.h * (plan.h.m / pool_h) * to.row_step +
                          at.w * (plan.w.m / pool_w) * to.column_step +
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
        bias(to.bias && to.lanes == kLanes ? load(to.bias) : zeros()),
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

// Of two values the larger; NaN where one is.
VW_INLINE vec higher(vec best, vec value) {
  return ((value > best) | (value != value)) ? value : best;
}

// Takes the frames of a tile, each pooled already along height and width, and pools them along
// depth: those before the last of a window wait in memory, which also the last one goes to where
// the result takes no whole vectors.
struct PooledFrame {
  WholeFrame result;
  float* waiting;  // of kMaxAlpha columns
  bool first, last, whole;

  VW_INLINE_MEMBER PooledFrame(const Target& to, int frame, int pool, float* waiting)
      : result(to, frame / pool),
        waiting(waiting),
        first(frame % pool == 0),
        last(frame % pool == pool - 1 || frame + 1 == to.from_depths),
        whole(to.lane_step == 1 && to.lanes == kLanes) {}

  VW_INLINE_MEMBER void operator()(int i, int j, vec value) const {
    float* const at = waiting + (i * kMaxAlpha + j) * kLanes;
    if (!first) value = higher(load(at), value);
    if (last && whole)
      result(i, j, value);
    else
      store(at, value);
  }
};

// Windows of one frame from memory, its rows `row` floats apart.
static void pool_frame(const Target& to, const Pooling& pooling, const float* from, ptrdiff_t row,
                       const PooledFrame& put) {
  const int high = pooling.h.pool, wide = pooling.w.pool;
  for (int i = 0; i < to.rows; ++i)
    for (int j = 0; j < to.columns; ++j) {
      const int rows = least((i + 1) * high, to.from_rows);
      const int columns = least((j + 1) * wide, to.from_columns);
      vec best = load(from + i * high * row + j * wide * kLanes);
      for (int k = i * high; k < rows; ++k)
        for (int l = j * wide; l < columns; ++l) best = higher(best, load(from + k * row + l * kLanes));
      put(i, j, best);
    }
}

// The result's lines come into the cache while the tile is still being computed.
static inline void expect_result(const Target& to) {
  if (to.lane_step != 1 || to.streamed) return;
  for (int d = 0; d < to.depths; ++d)
    for (int i = 0; i < to.rows; ++i)
      for (int j = 0; j < to.columns; ++j)
        __builtin_prefetch(to.values + d * to.frame_step + i * to.row_step + j * to.column_step, 1);
}

}  // namespace VW_ISA
