// A weight from its factors, and the way back for gradients.
//
// U[column] (C_out x C_in) = sum over terms of rows[column][term] * parts[term] (C_out x C_in), where the
// parts are a filter's taps and the columns of `left`, and the rows the filter transform beside
// `right`. All columns of one vector of channels are computed from one panel of its parts, which stays
// in cache: U is written once, and nothing of its size is read.
#pragma once

#include "pack.h"

namespace VW_ISA {

constexpr int kPanel = kMaxVectors * kLanes;  // channels at a time
constexpr int kMostTerms = 27 + VW_MOST_RANK;

struct Panel {
  alignas(64) float values[kMostTerms * kPanel];
};

static inline int terms_of(const vw_factors& factors) { return factors.taps + factors.rank; }

// Rows of `count` floats, `step` apart, to columns of a panel.
static void panel_of(const float* from, ptrdiff_t step, int count, int channels, float* panel) {
  for (int c = 0; c < channels; c += kLanes) {
    const int lanes = least(kLanes, channels - c);
    for (int k = 0; k < count; k += kLanes) {
      const int some = least(kLanes, count - k);
      vec rows[kLanes];
      for (int j = 0; j < kLanes; ++j) {
        const float* row = from + (c + j) * step + k;
        rows[j] = j >= lanes ? zeros() : some == kLanes ? load(row) : load_first(row, some);
      }
      transpose(rows);
      for (int i = 0; i < some; ++i) store(panel + (k + i) * kPanel + c, rows[i]);
    }
  }
}

// The way back.
static void rows_of(const float* panel, int count, int channels, float* to, ptrdiff_t step) {
  for (int c = 0; c < channels; ++c)
    for (int k = 0; k < count; ++k) to[c * step + k] = panel[k * kPanel + c];
}

// Input channels of a panel along C_in: those that have the same rows.
static inline int panel_channels(const vw_factors& factors) {
  return factors.rows_block ? least(kBlock, kPanel) : kPanel;
}

static inline const float* rows_at(const vw_factors& factors, int channel) {
  return factors.rows + channel / kBlock * factors.rows_block;
}

// The parts of some neighbouring channels. pair: the first one's place among C_out x C_in; step:
// from one to the next.
static void load_parts(const vw_factors& factors, ptrdiff_t pair, ptrdiff_t step, int channels,
                       float* panel) {
  if (factors.taps)
    panel_of(factors.spatial + pair * factors.taps, step * factors.taps, factors.taps, channels,
             panel);
  if (factors.rank)
    panel_of(factors.left + pair * factors.rank, step * factors.rank, factors.rank, channels,
             panel + factors.taps * kPanel);
}

// ROWS x VECTORS of out = a (ROWS x terms) b (terms x VECTORS).
template <int ROWS, int VECTORS>
static void small_product(const float* a, ptrdiff_t a_row, ptrdiff_t a_term, const float* b,
                          ptrdiff_t b_term, int terms, const float* scale, bool streamed,
                          float* out, ptrdiff_t out_row) {
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) sum[r][n] = zeros();
  for (int k = 0; k < terms; ++k) {
    vec x[VECTORS];
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) x[n] = load(b + k * b_term + n * kLanes);
#pragma GCC unroll 32
    for (int r = 0; r < ROWS; ++r) {
      const float factor = a[r * a_row + k * a_term];
#pragma GCC unroll 4
      for (int n = 0; n < VECTORS; ++n) sum[r][n] += x[n] * factor;
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; ++n) {
      const vec value = sum[r][n] * (scale ? scale[r] : 1.0f);
      put(out + r * out_row + n * kLanes, value, streamed);
    }
}

// Rows one block after the other, for a panel of so many vectors.
static void panel_products(const float* a, ptrdiff_t a_row, ptrdiff_t a_term, int rows, const float* b,
                     ptrdiff_t b_term, int terms, int vectors, const float* scale, bool streamed,
                     float* out, ptrdiff_t out_row) {
  constexpr int block = kMaxVectors > 2 ? 6 : 4;
  typedef void (*Product)(const float*, ptrdiff_t, ptrdiff_t, const float*, ptrdiff_t, int,
                          const float*, bool, float*, ptrdiff_t);
  static constexpr Product whole[4] = {small_product<block, 1>, small_product<block, 2>,
                                       small_product<block, least_of(3, kMaxVectors)>,
                                       small_product<block, least_of(4, kMaxVectors)>};
  static constexpr Product single[4] = {small_product<1, 1>, small_product<1, 2>,
                                        small_product<1, least_of(3, kMaxVectors)>,
                                        small_product<1, least_of(4, kMaxVectors)>};
  for (int row = 0; row < rows;) {
    const bool many = rows - row >= block;
    (many ? whole : single)[vectors - 1](a + row * a_row, a_row, a_term, b, b_term, terms,
                                         scale ? scale + row : nullptr, streamed,
                                         out + row * out_row, out_row);
    row += many ? block : 1;
  }
}

// Rows in the order of products: the factors' are in that of the kept columns.
static void sort_rows(const Plan& plan, const vw_factors& factors, float* rows, float* scale) {
  const int terms = terms_of(factors);
  for (int product = 0; product < plan.products; ++product, rows += terms) {
    const int source = plan.source[product];
    for (int k = 0; k < terms; ++k) rows[k] = source < 0 ? 0 : factors.rows[source * terms + k];
    scale[product] = factors.scale && source >= 0 ? factors.scale[source] : 1.0f;
  }
}

static int pack_factors(const Plan& plan, const vw_factors& factors, float* packed) {
  const int terms = terms_of(factors), c_in = plan.channels;
  float* const rows = workspace.take(sizeof(float) * plan.products * (terms + 1));
  if (!rows) return 1;
  float* const scale = rows + plan.products * terms;
  sort_rows(plan, factors, rows, scale);
  const bool streamed = is_streamed(packed, weight_size(plan));
#pragma omp parallel num_threads(plan.threads)
  {
    Panel panel;
#pragma omp for schedule(static)
    for (int item = 0; item < group_count(plan.out) * c_in; ++item) {
      const int group = item / c_in, c = item % c_in;
      const int first = group_start(plan.out, group) * kLanes;
      const int vectors = group_vectors(plan.out, group), width = vectors * kLanes;
      const int there = least(width, plan.out.count - first);
      load_parts(factors, ptrdiff_t(first) * c_in + c, c_in, there, panel.values);
      panel_products(rows, terms, 1, plan.products, panel.values, kPanel, terms, vectors, scale,
                     streamed, packed + product_at(plan, group, 0) + ptrdiff_t(c) * width,
                     ptrdiff_t(c_in) * width);
    }
    settle();
  }
  return 0;
}

// U in the order of parameters, without the scale; u: (kept columns, C_out, C_in).
static void expand(const Plan& plan, const vw_factors& factors, float* u) {
  const int terms = terms_of(factors), c_in = plan.channels;
  const ptrdiff_t column = ptrdiff_t(plan.out.count) * c_in;
  const bool streamed = c_in % kLanes == 0 && is_streamed(u, plan.columns * column);
#pragma omp parallel num_threads(plan.threads)
  {
    Panel panel;
    alignas(64) float rest[kPanel];
#pragma omp for schedule(static)
    for (int o = 0; o < plan.out.count; ++o)
      for (int c = 0; c < c_in; c += panel_channels(factors)) {
        const float* const rows = rows_at(factors, c);
        const int channels = least(panel_channels(factors), c_in - c), vectors = channels / kLanes;
        const ptrdiff_t pair = ptrdiff_t(o) * c_in + c;
        load_parts(factors, pair, 1, channels, panel.values);
        if (vectors)
          panel_products(rows, terms, 1, plan.columns, panel.values, kPanel, terms, vectors,
                   nullptr, streamed, u + pair, column);
        const int left = channels - vectors * kLanes;
        for (int kept = 0; left && kept < plan.columns; ++kept) {
          panel_products(rows + kept * terms, terms, 1, 1, panel.values + vectors * kLanes,
                   kPanel, terms, 1, nullptr, false, rest, 0);
          store_first(u + kept * column + pair + vectors * kLanes, load(rest), left);
        }
      }
    settle();
  }
}

// The gradients of the parts from that of U, (kept columns, C_out, C_in) with its scale.
static void contract(const Plan& plan, const vw_factors& factors, const float* du, float* dspatial,
                     float* dleft) {
  const int terms = terms_of(factors), c_in = plan.channels;
  const ptrdiff_t column = ptrdiff_t(plan.out.count) * c_in;
#pragma omp parallel num_threads(plan.threads)
  {
    Panel panel;
    alignas(64) float rest[kMaxColumns * kLanes];
#pragma omp for schedule(static)
    for (int o = 0; o < plan.out.count; ++o)
      for (int c = 0; c < c_in; c += panel_channels(factors)) {
        const float* const rows = rows_at(factors, c);
        const int channels = least(panel_channels(factors), c_in - c), vectors = channels / kLanes;
        const ptrdiff_t pair = ptrdiff_t(o) * c_in + c;
        if (vectors)
          panel_products(rows, 1, terms, terms, du + pair, column, plan.columns, vectors, nullptr,
                   false, panel.values, kPanel);
        const int left = channels - vectors * kLanes;
        if (left) {
          for (int kept = 0; kept < plan.columns; ++kept)
            store(rest + kept * kLanes,
                  load_first(du + kept * column + pair + vectors * kLanes, left));
          panel_products(rows, 1, terms, terms, rest, kLanes, plan.columns, 1, nullptr, false,
                   panel.values + vectors * kLanes, kPanel);
        }
        if (dspatial)
          rows_of(panel.values, factors.taps, channels, dspatial + pair * factors.taps,
                  factors.taps);
        if (dleft)
          rows_of(panel.values + factors.taps * kPanel, factors.rank, channels,
                  dleft + pair * factors.rank, factors.rank);
      }
  }
}

}  // namespace VW_ISA
