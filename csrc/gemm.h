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
// before. Spans of channels one after the other: `offset` is where one begins.
struct Sum {
  int channels;
  unsigned phases;  // bits
  ptrdiff_t phase_step;

  bool more() const { return phases; }
  ptrdiff_t offset() const { return __builtin_ctz(phases) * phase_step; }
  int count() const { return channels; }
  void next() { phases &= phases - 1; }
};

// The same of the channels that columns are kept for.
struct SumOfSpans {
  const Plan& plan;
  const int16_t* source;  // of the first phase's column, then of the next one's
  unsigned phases;
  ptrdiff_t phase_step, v_step;
  Spans spans;

  bool more() const { return phases; }
  ptrdiff_t offset() const {
    return __builtin_ctz(phases) * phase_step + spans.first->first / kLanes * v_step;
  }
  int count() const { return spans.first->count; }
  void next() {
    if (++spans.first < spans.end) return;
    phases &= phases - 1;
    if (phases) spans = spans_of(plan, *++source);
  }
};

// Where a product's vectors of columns are: one after the other, `step` apart.
struct Stepped {
  ptrdiff_t step, base = 0;

  ptrdiff_t at(int vector) const { return base + vector * step; }
  Stepped from(int vector) const { return {step, at(vector)}; }
};

// Or those of some numbers.
struct Listed {
  const int16_t* vectors;
  ptrdiff_t step;

  ptrdiff_t at(int vector) const { return vectors[vector] * step; }
  Listed from(int vector) const { return {vectors + vector, step}; }
};

// v: tile-major lanes of one vector of channels, the next vector `v_step` on; u: a row for each
// channel summed over; m: as v. An accumulator stays in its register through the whole sum.
template <int ROWS, int VECTORS, typename Stored, typename Over, typename Places>
static void gemm_tile(const float* v, ptrdiff_t row, ptrdiff_t v_step,
                      const Factor<Stored>& factor, const Over& over, float* m,
                      const Places& places, Ahead<Stored> ahead) {
  const Stored* u = factor.values;
  const ptrdiff_t u_row = factor.row;
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) sum[r][n] = zeros();
  for (Over rest = over; rest.more(); rest.next()) {
    const float* from = v + rest.offset();
    for (int channels = rest.count(); channels > 0; channels -= kLanes, from += v_step) {
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
    for (int n = 0; n < VECTORS; ++n)
      store(m + places.at(n) + r * row, sum[r][n] * factor.scale);
}

template <typename Stored, typename Over, typename Places>
using GemmTile = void (*)(const float* v, ptrdiff_t row, ptrdiff_t v_step,
                          const Factor<Stored>& factor, const Over& over, float* m,
                          const Places& places, Ahead<Stored> ahead);

// Rows that fill the registers beside the vectors of u and one broadcast value.
#if VW_REGISTERS == 32
constexpr int kRows[5] = {0, 14, 12, 8, 6};
#else
constexpr int kRows[5] = {0, 12, 6, 4, 2};
#endif

template <int VECTORS, typename Stored, typename Over, typename Places>
static GemmTile<Stored, Over, Places> gemm_tile_of(int rows) {
  switch (rows) {
    case 1: return gemm_tile<1, VECTORS, Stored, Over, Places>;
    case 2: return gemm_tile<2, VECTORS, Stored, Over, Places>;
    case 3: return gemm_tile<least_of(3, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 4: return gemm_tile<least_of(4, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 5: return gemm_tile<least_of(5, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 6: return gemm_tile<least_of(6, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 7: return gemm_tile<least_of(7, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 8: return gemm_tile<least_of(8, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 9: return gemm_tile<least_of(9, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 10: return gemm_tile<least_of(10, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 11: return gemm_tile<least_of(11, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 12: return gemm_tile<least_of(12, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    case 13: return gemm_tile<least_of(13, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
    default: return gemm_tile<least_of(14, kRows[VECTORS]), VECTORS, Stored, Over, Places>;
  }
}

template <typename Stored, typename Over, typename Places>
static GemmTile<Stored, Over, Places> gemm_tile(int rows, int vectors) {
  switch (vectors) {
    case 1: return gemm_tile_of<1, Stored, Over, Places>(rows);
    case 2: return gemm_tile_of<2, Stored, Over, Places>(rows);
    case 3: return gemm_tile_of<3, Stored, Over, Places>(rows);
    default: return gemm_tile_of<4, Stored, Over, Places>(rows);
  }
}

// A weight lies by groups of the product's columns, then slots, then what is summed over: a thread
// that has a group reads on and on.
static inline ptrdiff_t weight_at(const Plan& plan, int group, int slot) {
  const ptrdiff_t before = group_start(plan.out, group) * rows_before(plan, plan.slots);
  return (before + rows_before(plan, slot) * group_vectors(plan.out, group)) * kLanes;
}

// One of the products that a slot sums over, in one group; counted over all slots.
static inline ptrdiff_t product_at(const Plan& plan, int group, int product) {
  const ptrdiff_t channels = plan.channels;
  const ptrdiff_t all = plan.spans ? plan.rows[plan.products] : plan.products * channels;
  const ptrdiff_t before = plan.spans ? plan.rows[product] : product * channels;
  return (group_start(plan.out, group) * all + before * group_vectors(plan.out, group)) * kLanes;
}

// Values of one slot in one group.
static inline ptrdiff_t weight_of(const Plan& plan, int group, int slot) {
  return weight_at(plan, group, slot + 1) - weight_at(plan, group, slot);
}

// Tiles of one slot, for one group of a packed weight's columns. v_step, m_step: from one vector of
// channels to the next; m: the group's first vector; next: values of the slot.
template <typename Stored, typename Over>
static void gemm_packed(const Plan& plan, const Over& over, ptrdiff_t next, int vectors, int tiles,
                        const float* v, ptrdiff_t v_step, const Stored* u, float scale, float* m,
                        ptrdiff_t m_step) {
  const int pieces = ceil_div(tiles, kRows[vectors]);
  // Each piece fetches its share of the next slot's weight. Left to the machine's prefetcher, the
  // first piece waits for memory, and memory waits for the others.
  for (int piece = 0, done = 0; piece < pieces; ++piece) {
    const int rows = ceil_div(tiles - done, pieces - piece);
    gemm_tile<Stored, Over, Stepped>(rows, vectors)(
        v + done * plan.row, plan.row, v_step, {u, vectors * kLanes, scale}, over,
        m + done * plan.row, {m_step},
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
  const ptrdiff_t phase_step = plan.in.vectors * v_step;
  for (int slot = 0; slot < plan.slots; ++slot) {
    const float scale = scales ? scales[slot] : 1.0f;
    const float* from = v + slot * kLanes;
    float* const to = m + slot * kLanes;
    const ptrdiff_t next = weight_of(plan, group, slot);
    if (plan.spans) {
      const int16_t* source = plan.source + plan.before[slot];
      const SumOfSpans over{plan, source, plan.met[slot], phase_step, v_step,
                           spans_of(plan, *source)};
      gemm_packed(plan, over, next, vectors, tiles, from, v_step, u, scale, to, m_step);
    } else {
      const Sum over{plan.in.count, plan.met[slot], phase_step};
      gemm_packed(plan, over, next, vectors, tiles, from, v_step, u, scale, to, m_step);
    }
    u += next;
  }
}

// The product turned round, dV (T x C_in) = dM (T x C_out) U^T, for tiles of one slot, by a weight
// in the order of parameters. in: the weight's channels, which are at `places` of dV.
template <typename Places>
static void gemm_plain(const Plan& plan, int tiles, const float* dm, const Factor<float>& factor,
                       const Channels& in, const Places& places, float* dv) {
  const ptrdiff_t step = tiles * plan.row;
  for (int group = 0; group < group_count(in); ++group) {
    const int vectors = group_vectors(in, group), start = group_start(in, group);
    const int pieces = ceil_div(tiles, kRows[vectors]);
    const float* u = factor.values + start * kLanes;
    for (int piece = 0, done = 0; piece < pieces; ++piece) {
      const int rows = ceil_div(tiles - done, pieces - piece);
      // The next group's columns, half of them a piece.
      const float* next = u + (vectors + piece % 2 * ceil_div(vectors, 2)) * kLanes;
      gemm_tile<float, Sum, Places>(rows, vectors)(
          dm + done * plan.row, plan.row, step, {u, factor.row, factor.scale},
          Sum{plan.out.count, 1, 0}, dv + done * plan.row, places.from(start), {next, factor.row});
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
// channels of the first tile; v: VECTORS vectors, at `places`; at: floats from the gradient's first
// value.
template <int ROWS, int VECTORS, typename Places>
static void gradient_tile(const float* m, const float* v, ptrdiff_t row, const Places& places,
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
    for (int n = 0; n < VECTORS; ++n) b[n] = load(v + places.at(n));
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

template <typename Places>
using GradientTile = void (*)(const float* m, const float* v, ptrdiff_t row, const Places& places,
                              int tiles, const Gradient& gradient, ptrdiff_t at, vec& weighted);

template <int VECTORS, typename Places>
static GradientTile<Places> gradient_tile_of(int rows) {
  switch (rows) {
    case 1: return gradient_tile<1, VECTORS, Places>;
    case 2: return gradient_tile<2, VECTORS, Places>;
    case 3: return gradient_tile<least_of(3, kRows[VECTORS]), VECTORS, Places>;
    case 4: return gradient_tile<least_of(4, kRows[VECTORS]), VECTORS, Places>;
    case 5: return gradient_tile<least_of(5, kRows[VECTORS]), VECTORS, Places>;
    case 6: return gradient_tile<least_of(6, kRows[VECTORS]), VECTORS, Places>;
    case 7: return gradient_tile<least_of(7, kRows[VECTORS]), VECTORS, Places>;
    default: return gradient_tile<least_of(8, kRows[VECTORS]), VECTORS, Places>;
  }
}

template <typename Places>
static GradientTile<Places> gradient_tile(int rows, int vectors) {
  switch (vectors) {
    case 1: return gradient_tile_of<1, Places>(rows);
    case 2: return gradient_tile_of<2, Places>(rows);
    case 3: return gradient_tile_of<3, Places>(rows);
    default: return gradient_tile_of<4, Places>(rows);
  }
}

// One slot of the weight's gradient; v, m: its first tile; in, places: as in gemm_plain. Returns the
// sum of gradient times weight.
template <typename Places>
static float gemm_gradient(const Plan& plan, int tiles, const float* v, const float* m,
                           const Gradient& gradient, const Channels& in, const Places& places) {
  const ptrdiff_t step = tiles * plan.row;
  vec weighted = zeros();
  for (int group = 0; group < group_count(in); ++group) {
    const int vectors = group_vectors(in, group), start = group_start(in, group);
    const int most_rows = least(8, kRows[vectors]);
    for (int vector = 0; vector < plan.out.vectors; ++vector) {
      const int lanes = least(kLanes, plan.out.count - vector * kLanes);
      const int pieces = ceil_div(lanes, most_rows);
      for (int piece = 0, done = 0; piece < pieces; ++piece) {
        const int rows = ceil_div(lanes - done, pieces - piece);
        const ptrdiff_t at = (vector * kLanes + done) * gradient.row + start * kLanes;
        gradient_tile<Places>(rows, vectors)(m + vector * step + done, v, plan.row,
                                             places.from(start), tiles, gradient, at, weighted);
        done += rows;
      }
    }
  }
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += weighted[lane];
  return sum;
}

}  // namespace VW_ISA
