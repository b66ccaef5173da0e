// Chooses the instruction set and exports the C interface.
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#if defined(VW_HAVE_AVX512)
namespace avx512 {
extern const Kernels kernels;
}
#endif
#if defined(VW_HAVE_AVX2)
namespace avx2 {
extern const Kernels kernels;
}
#endif
namespace baseline {
extern const Kernels kernels;
}

namespace {

// OpenMP's threads do not survive a fork: a child that has not exec'd works alone.
bool forked = false;

const Kernels& choose() {
  const char* wanted = getenv("VIDEOWINO_ISA");
  const bool any = !wanted || !*wanted;
#if defined(VW_HAVE_AVX512)
  if ((any || !strcmp(wanted, "avx512")) && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return avx512::kernels;
#endif
#if defined(VW_HAVE_AVX2)
  if ((any || !strcmp(wanted, "avx2")) && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma"))
    return avx2::kernels;
#endif
  return baseline::kernels;
}

const Kernels& chosen() {
  static const Kernels& kernels = [&]() -> const Kernels& {
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
    return choose();
  }();
  return kernels;
}

vw_problem allowed(const vw_problem* given) {
  vw_problem problem = *given;
  if (forked || problem.threads < 1) problem.threads = 1;
  return problem;
}

}  // namespace

extern "C" {

const char* vw_isa(void) { return chosen().name; }

int64_t vw_packed_bytes(const vw_problem* problem) { return chosen().packed_bytes(*problem); }

void vw_pack(const vw_problem* problem, const vw_weight* u, float* packed) {
  chosen().pack(allowed(problem), *u, packed);
}

int vw_pack_factors(const vw_problem* problem, const vw_factors* factors, float* packed) {
  return chosen().pack_factors(allowed(problem), *factors, packed);
}

void vw_expand(const vw_problem* problem, const vw_factors* factors, float* u) {
  chosen().expand(allowed(problem), *factors, u);
}

void vw_contract(const vw_problem* problem, const vw_factors* factors, const float* du,
                 float* dspatial, float* dleft) {
  chosen().contract(allowed(problem), *factors, du, dspatial, dleft);
}

void vw_narrow(const vw_problem* problem, const float* packed, void* narrow) {
  chosen().narrow(allowed(problem), packed, narrow);
}

int vw_backward(const vw_problem* problem, const float* x, const float* dy, const vw_weight* u,
                float* dx, const vw_weight* du, float* gate) {
  return chosen().backward(allowed(problem), x, dy, u, dx, du, gate);
}

int vw_forward(const vw_problem* problem, const float* x, const void* packed,
               const vw_epilogue* epilogue, float* y) {
  return chosen().forward(allowed(problem), x, packed, *epilogue, y);
}

void vw_max_pool(const vw_pool* pool, const float* x, float* y) {
  vw_pool some = *pool;
  if (forked || some.threads < 1) some.threads = 1;
  chosen().max_pool(some, x, y);
}

uint64_t vw_fingerprint(const void* data, int64_t bytes, int64_t step) {
  const char* at = static_cast<const char*>(data);
  uint64_t hash = 14695981039346656037u;  // FNV-1a, by words
  const auto add = [&](int64_t from, size_t count) {
    uint32_t word = 0;
    memcpy(&word, at + from, count);
    hash = (hash ^ word) * 1099511628211u;
  };
  for (int64_t i = 0; i < bytes / 4; i += step) add(4 * i, 4);
  if (bytes % 4) add(bytes / 4 * 4, size_t(bytes % 4));
  return hash;
}

int vw_run(const vw_call* call, const float* x, const float* residual, float* y) {
  for (int i = 0; i < call->count; ++i) {
    const vw_watch& watch = call->watched[i];
    if (vw_fingerprint(watch.data, watch.bytes, watch.step) != watch.value) return VW_CHANGED;
  }
  vw_epilogue epilogue = call->epilogue;
  epilogue.residual = residual;
  return vw_forward(&call->problem, x, call->packed, &epilogue, y);
}

void vw_release(int threads) { chosen().release(forked ? 1 : threads); }

double vw_peak(int threads) { return chosen().peak(forked ? 1 : threads); }

int vw_threads(int wanted) {
  int got = 1;
#pragma omp parallel num_threads(forked ? 1 : wanted)
  {
#pragma omp single
    got = omp_get_num_threads();
  }
  return got;
}
}
