// The weight's layout: groups of output channels x slots x C_in x vectors of the group, so that the
// GEMM reads it from end to end.
#pragma once

#include "gemm.h"
#include "schedule.h"

namespace VW_ISA {

// A weight in the order of parameters: kept column i of the problem is column place[i] of it, or i.
static inline ptrdiff_t column_of(const vw_weight& weight, int source) {
  return (weight.place ? weight.place[source] : source) * weight.column;
}

static inline float scale_of(const vw_weight& weight, int source, int channel) {
  return weight.scale ? weight.scale[channel / kBlock * weight.scale_block + source] : 1.0f;
}

// A square of the weight, rows and columns exchanged, or what is left of one at its edges.
static inline void pack_square(const float* from, ptrdiff_t out_step, ptrdiff_t in_step, int outs,
                               int channels, float scale, bool streamed, float* to,
                               ptrdiff_t to_step) {
  if (in_step == 1 && outs == kLanes && channels == kLanes) {
    vec rows[kLanes];
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) rows[j] = load(from + j * out_step);
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) put(to + i * to_step, rows[i] * scale, streamed);
  } else {
    for (int i = 0; i < channels; ++i)
      for (int j = 0; j < outs; ++j)
        to[i * to_step + j] = from[j * out_step + i * in_step] * scale;
  }
}

// One product by itself: for weights whose channels are close.
static void pack_product(const Plan& plan, int product, const vw_weight& u, bool streamed,
                         float* packed) {
  const int source = plan.source[product];
  const vw_span all{0, plan.channels, 0};
  const Spans spans = plan.spans ? spans_of(plan, source) : Spans{&all, &all + 1};
  const float* column = source < 0 ? nullptr : u.values + column_of(u, source);
  for (int group = 0; group < group_count(plan.out); ++group) {
    float* const at = packed + product_at(plan, group, product);
    const int first = group_start(plan.out, group) * kLanes;
    const int width = group_vectors(plan.out, group) * kLanes;
    const int there = column ? least(width, plan.out.count - first) : 0;
    const float* from = column ? column + first * u.out : nullptr;
    for (const vw_span* span = spans.first; span < spans.end; ++span)
      for (int c = 0; c < span->count; c += kLanes)
        for (int o = 0; o < there; o += kLanes)
          pack_square(from + o * u.out + (span->first + c) * u.in, u.out, u.in,
                      least(kLanes, there - o), least(kLanes, span->count - c),
                      scale_of(u, source, span->first + c), streamed,
                      at + ptrdiff_t(span->before + c) * width + o, width);
    for (int c = 0; c < spans.channels(); ++c)
      for (int o = there; o < width; ++o) at[int64_t(c) * width + o] = 0;
  }
}

// One input channel of a group, squares of output channels by columns: for weights whose columns
// are next to each other, and have all channels.
static void pack_columns(const Plan& plan, int group, int c, const vw_weight& u, float* packed) {
  const int start = group_start(plan.out, group), width = group_vectors(plan.out, group) * kLanes;
  const int there = least(width, plan.out.count - start * kLanes);
  const int64_t step = int64_t(plan.channels) * width;
  float* at = packed + product_at(plan, group, 0) + int64_t(c) * width;
  for (int o = 0; o < width; o += kLanes) {
    const int outs = most(0, least(kLanes, there - o));
    const float* far = u.values + (start * kLanes + o) * u.out + c * u.in;
    for (int product = 0; product < plan.products; ++product) {
      float* near = at + product * step + o;
      const int source = plan.source[product], some = source < 0 ? 0 : outs;
      if (some) {
        const float* column = far + column_of(u, source);
        const float scale = scale_of(u, source, c);
        for (int j = 0; j < some; ++j) near[j] = column[j * u.out] * scale;
      }
      for (int j = some; j < least(kLanes, width - o); ++j) near[j] = 0;
    }
  }
}

static void pack(const Plan& plan, const vw_weight& u, float* packed) {
  if (u.column == 1 && !plan.spans) {
    const int items = group_count(plan.out) * plan.channels;
#pragma omp parallel for schedule(static) num_threads(plan.threads)
    for (int item = 0; item < items; ++item)
      pack_columns(plan, item / plan.channels, item % plan.channels, u, packed);
  } else {
    const bool streamed = is_streamed(packed, weight_size(plan));
#pragma omp parallel num_threads(plan.threads)
    {
#pragma omp for schedule(static)
      for (int product = 0; product < plan.products; ++product)
        pack_product(plan, product, u, streamed, packed);
      settle();
    }
  }
}

// From 32 to 16 bits: round(u / scale), where a slot's largest value becomes the largest number.
// A slot with a value that is not finite becomes NaN as a whole.
static void narrow(const Plan& plan, const float* packed, void* to) {
  constexpr float largest = 32767;
  float* scales = static_cast<float*>(to);
  int16_t* values = reinterpret_cast<int16_t*>(scales + scales_of(plan));
#pragma omp parallel for schedule(static) num_threads(plan.threads)
  for (int slot = 0; slot < plan.slots; ++slot) {
    float top = 0, sum = 0;  // the sum of zeros, or NaN
    for (int group = 0; group < group_count(plan.out); ++group) {
      const float* u = packed + weight_at(plan, group, slot);
      const ptrdiff_t count = weight_of(plan, group, slot);
      for (ptrdiff_t i = 0; i < count; ++i) {
        const float size = __builtin_fabsf(u[i]);
        top = top < size ? size : top;
        sum += u[i] * 0.0f;
      }
    }
    const bool finite = sum == 0;
    const float inverse = finite && top > 1e-30f ? largest / top : 0;
    for (int group = 0; group < group_count(plan.out); ++group) {
      const ptrdiff_t at = weight_at(plan, group, slot);
      const ptrdiff_t count = weight_of(plan, group, slot);
      for (ptrdiff_t i = at; i < at + count; ++i)
        values[i] = finite ? int16_t(__builtin_rintf(packed[i] * inverse)) : int16_t(0);
    }
    scales[slot] = finite ? top / largest : sum;
  }
}

}  // namespace VW_ISA
