// A clip of few channels and its phases, side by side as channels of one clip without stride: N D H W
// and then phases x C_in, zeros where the clip has nothing. A vector of three channels would hold
// little else than zeros, in each of up to eight phases.
#pragma once

#include "schedule.h"

namespace VW_ISA {

static thread_local Workspace gathered;

static inline int64_t gathered_size(const Plan& plan) {
  return int64_t(plan.batch) * plan.d.input * plan.h.input * plan.w.input * plan.in.count;
}

// One row of one phase. from: the clip's row; step: from one of the phase's samples to the next.
static void gather_row(const float* from, ptrdiff_t step, ptrdiff_t lane, int channels,
                       const Phase& phase, int width, ptrdiff_t to_step, float* to) {
  const int start = most(0, -phase.first), end = most(start, least(width, phase.samples - phase.first));
  for (int c = 0; c < channels; ++c) {
    const float* line = from + c * lane;
    for (int w = 0; w < start; ++w) to[w * to_step + c] = 0;
    for (int w = start; w < end; ++w) to[w * to_step + c] = line[(w + phase.first) * step];
    for (int w = end; w < width; ++w) to[w * to_step + c] = 0;
  }
}

static bool is_inside(const Phase& phase, int place) {
  return place + phase.first >= 0 && place + phase.first < phase.samples;
}

// All threads share the rows.
static void gather_phases(const Plan& plan, const float* x, float* to) {
  const auto& clip = plan.clip;
  const ptrdiff_t each = clip.last ? clip.channels : 1;
  const ptrdiff_t row = clip.w.input * each, frame = clip.h.input * row;
  const ptrdiff_t volume = ptrdiff_t(clip.d.input) * clip.h.input * clip.w.input;
  const ptrdiff_t lane = clip.last ? 1 : volume;
#pragma omp for schedule(static)
  for (int index = 0; index < plan.batch * plan.d.input * plan.h.input; ++index) {
    const int h = index % plan.h.input, d = index / plan.h.input % plan.d.input;
    const int n = index / (plan.h.input * plan.d.input);
    float* out = to + ptrdiff_t(index) * plan.w.input * plan.in.count;
    for (int pd = 0; pd < clip.d.phases; ++pd)
      for (int ph = 0; ph < clip.h.phases; ++ph)
        for (int pw = 0; pw < clip.w.phases; ++pw, out += clip.channels) {
          const Phase &of_d = clip.d.phase[pd], &of_h = clip.h.phase[ph];
          Phase of_w = clip.w.phase[pw];
          if (!is_inside(of_d, d) || !is_inside(of_h, h)) of_w.samples = 0;
          const ptrdiff_t at = ((d + of_d.first) * clip.d.stride + of_d.offset) * frame +
                               ((h + of_h.first) * clip.h.stride + of_h.offset) * row +
                               of_w.offset * each;
          gather_row(x + n * volume * clip.channels + at, clip.w.stride * each, lane,
                     clip.channels, of_w, plan.w.input, plan.in.count, out);
        }
  }
}

}  // namespace VW_ISA
