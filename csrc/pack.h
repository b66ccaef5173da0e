// The weight's layout: groups of output channels x slots x C_in x vectors of the group, so that the
// GEMM reads it from end to end.
#pragma once

#include "gemm.h"

namespace VW_ISA {

// A weight in the order of parameters: kept column i of the problem is column place[i] of it, or i.
static inline ptrdiff_t column_of(const vw_weight& weight, int source) {
  return (weight.place ? weight.place[source] : source) * weight.column;
}

static inline float scale_of(const vw_weight& weight, int source) {
  return weight.scale ? weight.scale[source] : 1.0f;
}

constexpr int kSquare = 16;

// Rows and columns exchanged, of kSquare x kSquare floats or fewer, and times a factor.
static inline void transpose(const float* from, int64_t from_step, float* to, int64_t to_step,
                             int rows, int columns, float scale) {
  if (rows == kSquare && columns == kSquare) {
    for (int j = 0; j < kSquare; ++j)
      for (int i = 0; i < kSquare; ++i) to[j * to_step + i] = from[i * from_step + j] * scale;
  } else {
    for (int j = 0; j < columns; ++j)
      for (int i = 0; i < rows; ++i) to[j * to_step + i] = from[i * from_step + j] * scale;
  }
}

// One slot by itself, squares of input by output channels: for weights whose channels are close.
static void pack_slot(const Plan& plan, int slot, const vw_weight& u, float* packed) {
  const float* column = u.values + column_of(u, plan.source[slot]);
  const float scale = scale_of(u, plan.source[slot]);
  for (int group = 0; group < group_count(plan.out); ++group) {
    float* at = packed + weight_at(plan, plan.in.count, plan.out, group, slot);
    const int first = group_start(plan.out, group) * kLanes;
    const int width = group_vectors(plan.out, group) * kLanes;
    const int there = least(width, plan.out.count - first);
    for (int c = 0; c < plan.in.count; c += kSquare)
      for (int o = 0; o < there; o += kSquare) {
        const int channels = least(kSquare, plan.in.count - c), outs = least(kSquare, there - o);
        const float* far = column + (first + o) * u.out + c * u.in;
        float* near = at + int64_t(c) * width + o;
        if (u.in == 1) {
          transpose(far, u.out, near, width, outs, channels, scale);
        } else {
          for (int i = 0; i < channels; ++i)
            for (int j = 0; j < outs; ++j)
              near[i * width + j] = far[j * u.out + i * u.in] * scale;
        }
      }
    for (int c = 0; c < plan.in.count; ++c)
      for (int o = there; o < width; ++o) at[int64_t(c) * width + o] = 0;
  }
}

// One input channel of a group, squares of output channels by columns: for weights whose columns
// are next to each other.
static void pack_columns(const Plan& plan, int group, int c, const vw_weight& u, float* packed) {
  const int start = group_start(plan.out, group), width = group_vectors(plan.out, group) * kLanes;
  const int there = least(width, plan.out.count - start * kLanes);
  const int64_t slot_size = int64_t(plan.in.count) * width;
  float* at = packed + weight_at(plan, plan.in.count, plan.out, group, 0) + int64_t(c) * width;
  for (int o = 0; o < width; o += kSquare) {
    const int outs = most(0, least(kSquare, there - o));
    const float* far = u.values + (start * kLanes + o) * u.out + c * u.in;
    for (int slot = 0; slot < plan.slots; ++slot) {
      float* near = at + slot * slot_size + o;
      const float* column = far + column_of(u, plan.source[slot]);
      const float scale = scale_of(u, plan.source[slot]);
      for (int j = 0; j < outs; ++j) near[j] = column[j * u.out] * scale;
      for (int j = outs; j < least(kSquare, width - o); ++j) near[j] = 0;
    }
  }
}

static void pack(const Plan& plan, const vw_weight& u, float* packed) {
  if (u.column == 1) {
    const int items = group_count(plan.out) * plan.in.count;
#pragma omp parallel for schedule(static) num_threads(plan.threads)
    for (int item = 0; item < items; ++item)
      pack_columns(plan, item / plan.in.count, item % plan.in.count, u, packed);
  } else {
#pragma omp parallel for schedule(static) num_threads(plan.threads)
    for (int slot = 0; slot < plan.slots; ++slot) pack_slot(plan, slot, u, packed);
  }
}

}  // namespace VW_ISA
