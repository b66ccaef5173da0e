// What the machine could do: fused multiply-adds in registers alone.
#pragma once

#include <omp.h>

#include "simd.h"

namespace VW_ISA {

// The compiler must take the value as used and changed here.
static inline __attribute__((always_inline)) void touch(vec& value) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(value));
#elif defined(__x86_64__)
  asm volatile("" : "+x"(value));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(value));
#else
  asm volatile("" : "+m"(value));
#endif
}

static double peak(int threads) {
  constexpr int chains = 12, rounds = 2000000;  // more chains than a unit's latency, times units
  double start = 0, stop = 0;
#pragma omp parallel num_threads(threads)
  {
    vec sum[chains];
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = zeros() + float(i);
    vec factor = zeros() + 0.5f;
    touch(factor);
#pragma omp barrier
#pragma omp master
    start = omp_get_wtime();
    for (int round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < chains; ++i) {
        sum[i] = sum[i] * factor + factor;
        touch(sum[i]);
      }
    }
#pragma omp barrier
#pragma omp master
    stop = omp_get_wtime();
  }
  return 2.0 * chains * kLanes * rounds * threads / (stop - start);
}

}  // namespace VW_ISA
