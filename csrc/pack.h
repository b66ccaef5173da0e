// The weight's layout: groups of output channels x slots x C_in x vectors of the group, so that the
// GEMM reads it from end to end. The gradient of the weight has the same layout.
#pragma once

#include "gemm.h"

namespace VW_ISA {

// Where a weight lies: (columns, C_out, C_in) with these steps in floats. What is packed is each
// column times its scale; null for 1.
struct Steps {
  int64_t column, out, in;
  const float* scale;
};

constexpr int kSquare = 16;

// kSquare x kSquare floats or fewer, rows and columns exchanged.
static inline void transpose(const float* from, int64_t from_step, float* to, int64_t to_step,
                             int rows, int columns) {
  if (rows == kSquare && columns == kSquare) {
    for (int j = 0; j < kSquare; ++j)
      for (int i = 0; i < kSquare; ++i) to[j * to_step + i] = from[i * from_step + j];
  } else {
    for (int j = 0; j < columns; ++j)
      for (int i = 0; i < rows; ++i) to[j * to_step + i] = from[i * from_step + j];
  }
}

// One slot by itself, squares of input by output channels: for weights whose channels are close.
template <bool PACK, typename Float>
static void repack_slot(const Plan& plan, int slot, Float* u, const Steps& steps, float* packed) {
  Float* column = u + plan.source[slot] * steps.column;
  for (int group = 0; group < group_count(plan.out); ++group) {
    float* at = packed + weight_at(plan, plan.in.count, plan.out, group, slot);
    const int first = group_start(plan.out, group) * kLanes;
    const int width = group_vectors(plan.out, group) * kLanes;
    const int there = least(width, plan.out.count - first);
    for (int c = 0; c < plan.in.count; c += kSquare)
      for (int o = 0; o < there; o += kSquare) {
        const int channels = least(kSquare, plan.in.count - c), outs = least(kSquare, there - o);
        Float* far = column + (first + o) * steps.out + c * steps.in;
        float* near = at + int64_t(c) * width + o;
        if (steps.in == 1) {
          if constexpr (PACK)
            transpose(far, steps.out, near, width, outs, channels);
          else
            transpose(near, width, far, steps.out, channels, outs);
        } else {
          for (int i = 0; i < channels; ++i)
            for (int j = 0; j < outs; ++j) {
              if constexpr (PACK)
                near[i * width + j] = far[j * steps.out + i * steps.in];
              else
                far[j * steps.out + i * steps.in] = near[i * width + j];
            }
        }
      }
    if (PACK && steps.scale)
      for (int64_t i = 0; i < int64_t(plan.in.count) * width; ++i)
        at[i] *= steps.scale[plan.source[slot]];
    if (PACK && there < width)
      for (int c = 0; c < plan.in.count; ++c)
        for (int o = there; o < width; ++o) at[int64_t(c) * width + o] = 0;
  }
}

// One input channel of a group, squares of output channels by columns: for weights whose columns
// are next to each other, as parameters are.
template <bool PACK, typename Float>
static void repack_columns(const Plan& plan, int group, int c, Float* u, const Steps& steps,
                           float* packed) {
  const int start = group_start(plan.out, group), width = group_vectors(plan.out, group) * kLanes;
  const int there = least(width, plan.out.count - start * kLanes);
  const int64_t slot_size = int64_t(plan.in.count) * width;
  float* at = packed + weight_at(plan, plan.in.count, plan.out, group, 0) + int64_t(c) * width;
  for (int o = 0; o < width; o += kSquare) {
    const int outs = most(0, least(kSquare, there - o));
    Float* far = u + (start * kLanes + o) * steps.out + c * steps.in;
    for (int slot = 0; slot < plan.slots; ++slot) {
      float* near = at + slot * slot_size + o;
      const float scale = PACK && steps.scale ? steps.scale[plan.source[slot]] : 1.0f;
      for (int j = 0; j < outs; ++j) {
        if constexpr (PACK)
          near[j] = far[j * steps.out + plan.source[slot]] * scale;
        else
          far[j * steps.out + plan.source[slot]] = near[j];
      }
      if (PACK)
        for (int j = outs; j < least(kSquare, width - o); ++j) near[j] = 0;
    }
  }
}

// PACK: from u to `packed`; else back.
template <bool PACK, typename Float>
static void repack(const Plan& plan, Float* u, const Steps& steps, float* packed) {
  if (steps.column == 1) {
    const int items = group_count(plan.out) * plan.in.count;
#pragma omp parallel for schedule(static) num_threads(plan.threads)
    for (int item = 0; item < items; ++item)
      repack_columns<PACK>(plan, item / plan.in.count, item % plan.in.count, u, steps, packed);
  } else {
#pragma omp parallel for schedule(static) num_threads(plan.threads)
    for (int slot = 0; slot < plan.slots; ++slot) repack_slot<PACK>(plan, slot, u, steps, packed);
  }
}

}  // namespace VW_ISA
