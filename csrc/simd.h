// Vectors of floats, in the compiler's own vector types: one source for every instruction set.
//
// Included by each translation unit that is compiled for one instruction set, with VW_ISA naming
// its namespace and VW_LANES the floats in a register. Nothing here may come from the standard
// library: an inline function of it, compiled for AVX-512, could be the one the linker keeps.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace VW_ISA {

constexpr int kLanes = VW_LANES;
constexpr int kCacheLine = 16;  // floats

typedef float vec __attribute__((vector_size(VW_LANES * 4)));
// The same, wherever floats may lie.
typedef float vec_anywhere __attribute__((vector_size(VW_LANES * 4), aligned(4), may_alias));

static inline __attribute__((always_inline)) vec load(const float* from) {
  return *reinterpret_cast<const vec_anywhere*>(from);
}

// Stored weights: floats, or sixteen-bit whole numbers that a scale belongs to.
typedef int16_t narrow_vec __attribute__((vector_size(VW_LANES * 2), aligned(2), may_alias));

static inline __attribute__((always_inline)) vec load(const int16_t* from) {
  return __builtin_convertvector(*reinterpret_cast<const narrow_vec*>(from), vec);
}

static inline __attribute__((always_inline)) void store(float* to, vec value) {
  *reinterpret_cast<vec_anywhere*>(to) = value;
}

// Past the caches; `to` at a multiple of the vector's size. settle() before others read it.
static inline __attribute__((always_inline)) void stream(float* to, vec value) {
#if defined(__clang__)
  __builtin_nontemporal_store(value, reinterpret_cast<vec*>(to));
#elif defined(__AVX512F__)
  __builtin_ia32_movntps512(to, value);
#elif defined(__AVX__)
  __builtin_ia32_movntps256(to, value);
#else
  store(to, value);
#endif
}

static inline __attribute__((always_inline)) void put(float* to, vec value, bool streamed) {
  if (streamed)
    stream(to, value);
  else
    store(to, value);
}

static inline void settle() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

static inline __attribute__((always_inline)) vec zeros() { return vec{}; }

// The first `count` lanes from memory, zeros behind; reads nothing beyond.
static inline vec load_first(const float* from, int count) {
  vec value{};
  for (int lane = 0; lane < count; ++lane) value[lane] = from[lane];
  return value;
}

static inline void store_first(float* to, vec value, int count) {
  for (int lane = 0; lane < count; ++lane) to[lane] = value[lane];
}

#if VW_LANES == 16
#define VW_EACH_LANE(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), \
                        f(12), f(13), f(14), f(15)
#elif VW_LANES == 8
#define VW_EACH_LANE(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)
#else
#define VW_EACH_LANE(f) f(0), f(1), f(2), f(3)
#endif
#define VW_STAY(j) ((j) & S ? kLanes + (j) - S : (j))
#define VW_SWAP(j) ((j) & S ? kLanes + (j) : (j) + S)

// Exchanges blocks of S lanes between rows S apart; after S = 1, 2, 4, ... rows are columns.
template <int S>
static inline __attribute__((always_inline)) void exchange(vec* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & S) continue;
    const vec a = rows[i], b = rows[i + S];
    rows[i] = __builtin_shufflevector(a, b, VW_EACH_LANE(VW_STAY));
    rows[i + S] = __builtin_shufflevector(a, b, VW_EACH_LANE(VW_SWAP));
  }
}

static inline __attribute__((always_inline)) void transpose(vec* rows) {
  exchange<1>(rows);
  exchange<2>(rows);
  if constexpr (kLanes > 4) exchange<4>(rows);
  if constexpr (kLanes > 8) exchange<8>(rows);
}

constexpr int least_of(int a, int b) { return a < b ? a : b; }
static inline int least(int a, int b) { return a < b ? a : b; }
static inline int most(int a, int b) { return a > b ? a : b; }
static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

}  // namespace VW_ISA
