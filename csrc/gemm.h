// The element-wise product of a Winograd convolution: one matrix product a slot,
// M (T x C_out) = V (T x C_in) U (C_in x C_out), in registers of ROWS tiles x VECTORS channels.
#pragma once

#include "plan.h"

namespace VW_ISA {

// The weight of one product: rows of vectors, `row` values apart, and what it is multiplied by.
// Stored: float or int16_t.
template <typename Stored>
struct Factor {
  const Stored* values;
  ptrdiff_t row;
  float scale;
};

// What of the weight to fetch meanwhile, `step` values further at each row.
template <typename Stored>
struct Ahead {
  const Stored* values;
  ptrdiff_t step;
};

// What a product sums over: the channels of some phases, each of which is `phase_step` after the one
// before.
struct Sum {
  int channels;
  unsigned phases;  // bits
  ptrdiff_t phase_step;
};

// v: tile-major lanes of one vector of channels, the next vector `v_step` on; u: a row for each
// channel summed over; m: as v. An accumulator stays in its register through the whole sum.
template <int ROWS, int VECTORS, typename Stored>
static void gemm_tile(const float* v, ptrdiff_t row, ptrdiff_t v_step,
                      const Factor<Stored>& factor, const Sum& over, float* m, ptrdiff_t m_step,
                      Ahead<Stored> ahead) {
  const Stored* u = factor.values;
  const ptrdiff_t u_row = factor.row;
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) sum[r][n] = zeros();
  for (unsigned phases = over.phases; phases; phases &= phases - 1) {
    const float* from = v + __builtin_ctz(phases) * over.phase_step;
    for (int channels = over.channels; channels > 0; channels -= kLanes, from += v_step) {
      const int count = least(channels, kLanes);
      // The next slot's part of these rows.
#pragma GCC unroll 32
      for (int r = 0; r < ROWS; ++r) __builtin_prefetch(from + r * row + kLanes);
      for (int k = 0; k < count; ++k, u += u_row) {
        vec b[VECTORS];
#pragma GCC unroll 4
        for (int n = 0; n < VECTORS; ++n) b[n] = load(u + n * kLanes);
        __builtin_prefetch(ahead.values, 0, 2);
        __builtin_prefetch(ahead.values + kCacheLine, 0, 2);
        ahead.values += ahead.step;
#pragma GCC unroll 32
        for (int r = 0; r < ROWS; ++r) {
          const float a = from[r * row + k];
#pragma GCC unroll 4
          for (int n = 0; n < VECTORS; ++n) sum[r][n] += b[n] * a;
        }
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) store(m + n * m_step + r * row, sum[r][n] * factor.scale);
}

template <typename Stored>
using GemmTile = void (*)(const float* v, ptrdiff_t row, ptrdiff_t v_step,
                          const Factor<Stored>& factor, const Sum& over, float* m, ptrdiff_t m_step,
                          Ahead<Stored> ahead);

// Rows that fill the registers beside the vectors of u and one broadcast value.
#if VW_REGISTERS == 32
constexpr int kRows[5] = {0, 14, 12, 8, 6};
#else
constexpr int kRows[5] = {0, 12, 6, 4, 2};
#endif

template <int VECTORS, typename Stored>
static GemmTile<Stored> gemm_tile_of(int rows) {
  switch (rows) {
    case 1: return gemm_tile<1, VECTORS, Stored>;
    case 2: return gemm_tile<2, VECTORS, Stored>;
    case 3: return gemm_tile<least_of(3, kRows[VECTORS]), VECTORS, Stored>;
    case 4: return gemm_tile<least_of(4, kRows[VECTORS]), VECTORS, Stored>;
    case 5: return gemm_tile<least_of(5, kRows[VECTORS]), VECTORS, Stored>;
    case 6: return gemm_tile<least_of(6, kRows[VECTORS]), VECTORS, Stored>;
    case 7: return gemm_tile<least_of(7, kRows[VECTORS]), VECTORS, Stored>;
    case 8: return gemm_tile<least_of(8, kRows[VECTORS]), VECTORS, Stored>;
    case 9: return gemm_tile<least_of(9, kRows[VECTORS]), VECTORS, Stored>;
    case 10: return gemm_tile<least_of(10, kRows[VECTORS]), VECTORS, Stored>;
    case 11: return gemm_tile<least_of(11, kRows[VECTORS]), VECTORS, Stored>;
    case 12: return gemm_tile<least_of(12, kRows[VECTORS]), VECTORS, Stored>;
    case 13: return gemm_tile<least_of(13, kRows[VECTORS]), VECTORS, Stored>;
    default: return gemm_tile<least_of(14, kRows[VECTORS]), VECTORS, Stored>;
  }
}

template <typename Stored>
static GemmTile<Stored> gemm_tile(int rows, int vectors) {
  switch (vectors) {
    case 1: return gemm_tile_of<1, Stored>(rows);
    case 2: return gemm_tile_of<2, Stored>(rows);
    case 3: return gemm_tile_of<3, Stored>(rows);
    default: return gemm_tile_of<4, Stored>(rows);
  }
}

// A weight lies by groups of the product's columns, then slots, then what is summed over: a thread
// that has a group reads on and on.
static inline ptrdiff_t weight_at(const Plan& plan, int group, int slot) {
  const ptrdiff_t before = ptrdiff_t(group_start(plan.out, group)) * plan.before[plan.slots];
  return (before + ptrdiff_t(plan.before[slot]) * group_vectors(plan.out, group)) *
         plan.in.count * kLanes;
}

// One of the products that a slot sums over, in one group; counted over all slots.
static inline ptrdiff_t product_at(const Plan& plan, int group, int product) {
  const ptrdiff_t before = ptrdiff_t(group_start(plan.out, group)) * plan.products;
  return (before + ptrdiff_t(product) * group_vectors(plan.out, group)) * plan.channels * kLanes;
}

// Values of one slot in one group.
static inline ptrdiff_t weight_of(const Plan& plan, int group, int slot) {
  return weight_at(plan, group, slot + 1) - weight_at(plan, group, slot);
}

// Tiles of one slot, for one group of a packed weight's columns. v_step, m_step: from one vector of
// channels to the next; m: the group's first vector.
template <typename Stored>
static void gemm_packed(const Plan& plan, int slot, int vectors, int tiles, const float* v,
                        ptrdiff_t v_step, const Stored* u, float scale, float* m,
                        ptrdiff_t m_step) {
  const int pieces = ceil_div(tiles, kRows[vectors]);
  const Sum over{plan.in.count, plan.met[slot], plan.in.vectors * v_step};
  // Each piece fetches its share of the next slot's weight. Left to the machine's prefetcher, the
  // first piece waits for memory, and memory waits for the others.
  const ptrdiff_t next = ptrdiff_t(plan.in.count) * vectors * kLanes *
                         (plan.before[slot + 1] - plan.before[slot]);
  for (int piece = 0, done = 0; piece < pieces; ++piece) {
    const int rows = ceil_div(tiles - done, pieces - piece);
    gemm_tile<Stored>(rows, vectors)(
        v + done * plan.row, plan.row, v_step, {u, vectors * kLanes, scale}, over,
        m + done * plan.row, m_step,
        {u + next + next * piece / pieces, vectors * kLanes / pieces});
    done += rows;
  }
}

// The same for every slot; scales: of each slot, or null.
template <typename Stored>
static void gemm_slots(const Plan& plan, int group, int tiles, const float* v, ptrdiff_t v_step,
                       const Stored* packed, const float* scales, float* m, ptrdiff_t m_step) {
  const int vectors = group_vectors(plan.out, group);
  const Stored* u = packed + weight_at(plan, group, 0);
  for (int slot = 0; slot < plan.slots; ++slot) {
    gemm_packed(plan, slot, vectors, tiles, v + slot * kLanes, v_step, u,
                scales ? scales[slot] : 1.0f, m + slot * kLanes, m_step);
    u += weight_of(plan, group, slot);
  }
}

// The product turned round, dV (T x C_in) = dM (T x C_out) U^T, for tiles of one slot, by a weight
// in the order of parameters.
static void gemm_plain(const Plan& plan, int tiles, const float* dm, const Factor<float>& factor,
                       float* dv) {
  const ptrdiff_t step = tiles * plan.row;
  for (int group = 0; group < group_count(plan.in); ++group) {
    const int vectors = group_vectors(plan.in, group), start = group_start(plan.in, group);
    const int pieces = ceil_div(tiles, kRows[vectors]);
    const float* u = factor.values + start * kLanes;
    for (int piece = 0, done = 0; piece < pieces; ++piece) {
      const int rows = ceil_div(tiles - done, pieces - piece);
      // The next group's columns, half of them a piece.
      const float* next = u + (vectors + piece % 2 * ceil_div(vectors, 2)) * kLanes;
      gemm_tile<float>(rows, vectors)(
          dm + done * plan.row, plan.row, step, {u, factor.row, factor.scale},
          Sum{plan.out.count, 1, 0}, dv + start * step + done * plan.row, step, {next, factor.row});
      done += rows;
    }
  }
}

// A slot of the weight's gradient: C_out rows of C_in floats.
struct Gradient {
  float* values;
  ptrdiff_t row;
  bool begun, last;      // whether sums of other blocks are there already; whether none comes after
  bool streamed;         // whether it is written past the caches
  float scale;           // what the finished gradient is multiplied by
  const float* weight;   // as values: the sum of gradient times weight is asked for; or null
};

// dU (C_out x C_in) += dM^T (C_out x T) V (T x C_in): the sum runs over tiles. m: ROWS neighbouring
// channels of the first tile; v: VECTORS vectors, `v_step` apart; at: floats from the gradient's
// first value.
template <int ROWS, int VECTORS>
static void gradient_tile(const float* m, const float* v, ptrdiff_t row, ptrdiff_t v_step,
                          int tiles, const Gradient& gradient, ptrdiff_t at, vec& weighted) {
  vec sum[ROWS][VECTORS];
  float* const u = gradient.values + at;
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n)
      sum[r][n] = gradient.begun ? load(u + r * gradient.row + n * kLanes) : zeros();
  for (int t = 0; t < tiles; ++t, v += row, m += row) {
    vec b[VECTORS];
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) b[n] = load(v + n * v_step);
#pragma GCC unroll 32
    for (int r = 0; r < ROWS; ++r) {
      const float a = m[r];
#pragma GCC unroll 4
      for (int n = 0; n < VECTORS; ++n) sum[r][n] += b[n] * a;
    }
  }
  const float scale = gradient.last ? gradient.scale : 1.0f;
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) {
      const ptrdiff_t place = r * gradient.row + n * kLanes;
      if (gradient.last && gradient.weight)
        weighted += sum[r][n] * load(gradient.weight + at + place);
      put(u + place, sum[r][n] * scale, gradient.streamed);
    }
  }
}

typedef void (*GradientTile)(const float* m, const float* v, ptrdiff_t row, ptrdiff_t v_step,
                             int tiles, const Gradient& gradient, ptrdiff_t at, vec& weighted);

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

// One slot of the weight's gradient; v, m: its first tile. Returns the sum of gradient times weight.
static float gemm_gradient(const Plan& plan, int tiles, const float* v, const float* m,
                           const Gradient& gradient) {
  const ptrdiff_t step = tiles * plan.row;
  vec weighted = zeros();
  for (int group = 0; group < group_count(plan.in); ++group) {
    const int vectors = group_vectors(plan.in, group), start = group_start(plan.in, group);
    const int most_rows = least(8, kRows[vectors]);
    for (int vector = 0; vector < plan.out.vectors; ++vector) {
      const int lanes = least(kLanes, plan.out.count - vector * kLanes);
      const int pieces = ceil_div(lanes, most_rows);
      for (int piece = 0, done = 0; piece < pieces; ++piece) {
        const int rows = ceil_div(lanes - done, pieces - piece);
        const ptrdiff_t at = (vector * kLanes + done) * gradient.row + start * kLanes;
        gradient_tile(rows, vectors)(m + vector * step + done, v + start * step, plan.row, step,
                                     tiles, gradient, at, weighted);
        done += rows;
      }
    }
  }
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += weighted[lane];
  return sum;
}

}  // namespace VW_ISA
