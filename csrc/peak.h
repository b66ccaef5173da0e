// What the machine could do: fused multiply-adds in registers alone.
#pragma once

#include <omp.h>

#include "simd.h"

namespace VW_ISA {

static double peak(int threads) {
  constexpr int chains = 12, rounds = 2000000;
  double start = 0, stop = 0;
#pragma omp parallel num_threads(threads)
  {
    vec sum[chains];
    for (int i = 0; i < chains; ++i) sum[i] = zeros() + float(i);
    volatile float half = 0.5f;
#pragma omp barrier
#pragma omp master
    start = omp_get_wtime();
    const vec factor = zeros() + half, term = zeros() + half;  // known only after the clock
    for (int round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < chains; ++i) sum[i] = sum[i] * factor + term;
    }
    for (int i = 1; i < chains; ++i) sum[0] += sum[i];
    float lanes[kLanes];
    store(lanes, sum[0]);
    float total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += lanes[lane] * float(lane);
    volatile float kept = total;  // or the compiler drops what nobody reads
    (void)kept;
#pragma omp barrier
#pragma omp master
    stop = omp_get_wtime();
  }
  return 2.0 * chains * kLanes * rounds * threads / (stop - start);
}

}  // namespace VW_ISA
