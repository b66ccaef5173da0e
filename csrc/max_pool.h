// Max pooling by windows of any size and stride, N D H W C: what does not fit into a convolution's
// output transform. A vector of channels at a time, whose window is in cache from the one before.
#pragma once

#include "result.h"

namespace VW_ISA {

// The samples of one window along one axis.
struct Reach {
  int from, to;
  bool outside;  // whether it has others that are none of the clip's
};

static inline Reach reach_of(const vw_pool_axis& axis, int output) {
  const int first = output * axis.stride - axis.padding, end = first + axis.window;
  return {most(first, 0), least(end, axis.input), first < 0 || end > axis.input};
}

static void max_pool_row(const vw_pool& pool, int d, int h, const float* x, float* y) {
  const vw_pool_axis &wide = pool.axis[2], &high = pool.axis[1];
  const Reach of_d = reach_of(pool.axis[0], d), of_h = reach_of(high, h);
  const ptrdiff_t pixel = pool.channels, row = wide.input * pixel, frame = high.input * row;
  for (int w = 0; w < wide.output; ++w) {
    const Reach of_w = reach_of(wide, w);
    const bool outside = of_d.outside || of_h.outside || of_w.outside;
    const bool empty = of_d.from >= of_d.to || of_h.from >= of_h.to || of_w.from >= of_w.to;
    for (int c = 0; c < pool.channels; c += kLanes) {
      const int lanes = least(kLanes, pool.channels - c);
      const auto at = [&](int i, int j, int k) VW_INLINE_LAMBDA {
        const float* from = x + i * frame + j * row + k * pixel + c;
        return lanes == kLanes ? load(from) : load_first(from, lanes);
      };
      vec best = outside || empty ? zeros() + pool.fill : at(of_d.from, of_h.from, of_w.from);
      for (int i = of_d.from; i < of_d.to; ++i)
        for (int j = of_h.from; j < of_h.to; ++j)
          for (int k = of_w.from; k < of_w.to; ++k) best = higher(best, at(i, j, k));
      float* const to = y + w * pixel + c;
      if (lanes == kLanes)
        store(to, best);
      else
        store_first(to, best, lanes);
    }
  }
}

static void max_pool(const vw_pool& pool, const float* x, float* y) {
  const vw_pool_axis &d = pool.axis[0], &h = pool.axis[1], &w = pool.axis[2];
  const ptrdiff_t row = ptrdiff_t(w.output) * pool.channels;
  const ptrdiff_t sample = ptrdiff_t(d.input) * h.input * w.input * pool.channels;
#pragma omp parallel for schedule(static) num_threads(pool.threads)
  for (int index = 0; index < pool.batch * d.output * h.output; ++index)
    max_pool_row(pool, index / h.output % d.output, index % h.output,
                 x + index / (h.output * d.output) * sample, y + index * row);
}

}  // namespace VW_ISA
