// One-dimensional transforms, applied along one axis to many lines of vectors.
//
// A line is one vector per sample; a mask says which of its transformed samples are kept. Kept
// ones are written one after the other (and read so on the way back), so that a pruned column
// costs neither arithmetic nor memory.
#pragma once

#include "plan.h"

namespace VW_ISA {

#define VW_INLINE static inline __attribute__((always_inline))
#define VW_INLINE_MEMBER inline __attribute__((always_inline))
#define VW_INLINE_LAMBDA __attribute__((always_inline))

// One axis' coefficients as vectors, so that they stay in registers through the lines.
template <int ALPHA>
struct InputFactors {
  static constexpr bool zero = ALPHA % 2 == 0;
  static constexpr int pairs = (ALPHA - 1 - zero) / 2;
  vec a[pairs], s[pairs][pairs], e[pairs + 1];
  explicit VW_INLINE_MEMBER InputFactors(const Coefficients& c) {
#pragma GCC unroll 4
    for (int k = 0; k < pairs; ++k) {
      a[k] = zeros() + c.a[k];
#pragma GCC unroll 4
      for (int j = 0; j < pairs; ++j) s[k][j] = zeros() + c.s[k][j];
    }
#pragma GCC unroll 4
    for (int j = 0; j <= pairs; ++j) e[j] = zeros() + c.e[j];
  }
};

template <int ALPHA, int M>
struct OutputFactors {
  static constexpr bool zero = ALPHA % 2 == 0;
  static constexpr int pairs = (ALPHA - 1 - zero) / 2;
  vec power[M][pairs];
  explicit VW_INLINE_MEMBER OutputFactors(const Coefficients& c) {
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int k = 0; k < pairs; ++k) power[i][k] = zeros() + c.power[i][zero + 2 * k];
  }
};

// B^T along one axis. in: alpha pointers, one a sample; line l reads at l * line_step.
// out: the kept samples of each line, `out_step` apart. ALPHA 0 is the identity of any length.
template <int ALPHA>
VW_INLINE vec input_zero(const vec* x, const InputFactors<ALPHA>& c) {
  vec sum = x[ALPHA - 2];
#pragma GCC unroll 4
  for (int j = 1; j <= c.pairs; ++j) sum += x[ALPHA - 2 - 2 * j] * c.e[j];
  return sum;
}

template <int ALPHA>
VW_INLINE vec input_infinity(const vec* x, const InputFactors<ALPHA>& c) {
  vec sum = x[ALPHA - 1];
#pragma GCC unroll 4
  for (int j = 1; j <= c.pairs; ++j) sum += x[ALPHA - 1 - 2 * j] * c.e[j];
  return sum;
}

template <int ALPHA>
VW_INLINE void input_pair(const vec* x, int k, const InputFactors<ALPHA>& c, vec& plus, vec& minus) {
  vec p = x[ALPHA - 2], q = x[ALPHA - 3];
#pragma GCC unroll 4
  for (int j = 1; j < c.pairs; ++j) {
    p += x[ALPHA - 2 - 2 * j] * c.s[k][j];
    q += x[ALPHA - 3 - 2 * j] * c.s[k][j];
  }
  plus = p + q * c.a[k];
  minus = p - q * c.a[k];
}

// MASK: the samples that are kept.
template <int ALPHA, int MASK>
VW_INLINE float* input_line(const vec* x, float* out, ptrdiff_t out_step,
                            const InputFactors<ALPHA>& c) {
  constexpr bool zero = ALPHA % 2 == 0;
  constexpr int pairs = (ALPHA - 1 - zero) / 2;
  const auto keep = [&](vec value) VW_INLINE_LAMBDA {
    store(out, value);
    out += out_step;
  };
  if (zero && MASK & 1) keep(input_zero<ALPHA>(x, c));
#pragma GCC unroll 4
  for (int k = 0; k < pairs; ++k) {
    const int bit = zero + 2 * k;
    if (!(MASK & (3 << bit))) continue;
    vec plus, minus;
    input_pair<ALPHA>(x, k, c, plus, minus);
    if (MASK & (1 << bit)) keep(plus);
    if (MASK & (2 << bit)) keep(minus);
  }
  if (MASK & (1 << (ALPHA - 1))) keep(input_infinity<ALPHA>(x, c));
  return out;
}

// Calls `line` with the mask as a constant, for lengths whose masks are few enough to compile each.
#define VW_MASK(n) \
  case n:          \
    if constexpr (n < 1 << ALPHA) line(Mask<n>()); \
    break;
#define VW_MASKS_4(n) VW_MASK(n) VW_MASK(n + 1) VW_MASK(n + 2) VW_MASK(n + 3)
#define VW_MASKS_16(n) VW_MASKS_4(n) VW_MASKS_4(n + 4) VW_MASKS_4(n + 8) VW_MASKS_4(n + 12)

template <int N>
struct Mask {
  static constexpr int value = N;
};

template <int ALPHA, typename Line>
VW_INLINE void with_mask(int mask, const Line& line) {
  switch (mask) {
    VW_MASKS_16(0)
    VW_MASKS_16(16)
    VW_MASKS_16(32)
    VW_MASKS_16(48)
  }
}

constexpr int kCompiledAlpha = 6;

template <int ALPHA>
static float* input_lines(const float* const* in, ptrdiff_t line_step, int lines,
                          const uint8_t* masks, int mask_step, float* out, ptrdiff_t out_step,
                          const Axis& axis) {
  constexpr int all = (1 << ALPHA) - 1;
  const float* from[ALPHA];  // in registers: a store could change `in` as far as one can tell
#pragma GCC unroll 8
  for (int i = 0; i < ALPHA; ++i) from[i] = in[i];
  const InputFactors<ALPHA> factors(axis.c);
  for (int line = 0; line < lines; ++line) {
    const int mask = masks[line * mask_step];
    vec x[ALPHA];
#pragma GCC unroll 8
    for (int i = 0; i < ALPHA; ++i) x[i] = load(from[i] + line * line_step);
    if (mask == all) {
      out = input_line<ALPHA, all>(x, out, out_step, factors);
    } else if constexpr (ALPHA <= kCompiledAlpha) {
      with_mask<ALPHA>(mask, [&](auto kept) VW_INLINE_LAMBDA {
        out = input_line<ALPHA, decltype(kept)::value>(x, out, out_step, factors);
      });
    } else {
      vec kept[ALPHA];
      input_line<ALPHA, all>(x, reinterpret_cast<float*>(kept), kLanes, factors);
      for (int i = 0; i < ALPHA; ++i)
        if (mask & (1 << i)) {
          store(out, kept[i]);
          out += out_step;
        }
    }
  }
  return out;
}

static float* copy_lines(const float* const* in, ptrdiff_t line_step, int lines,
                         const uint8_t* masks, int mask_step, float* out, ptrdiff_t out_step,
                         const Axis& axis) {
  for (int line = 0; line < lines; ++line)
    for (int i = 0, mask = masks[line * mask_step]; i < axis.alpha; ++i)
      if (mask & (1 << i)) {
        store(out, load(in[i] + line * line_step));
        out += out_step;
      }
  return out;
}

typedef float* (*InputPass)(const float* const* in, ptrdiff_t line_step, int lines,
                            const uint8_t* masks, int mask_step, float* out, ptrdiff_t out_step,
                            const Axis& axis);

static InputPass input_pass(const Axis& axis) {
  if (!axis.winograd) return copy_lines;
  switch (axis.alpha) {
    case 3: return input_lines<3>;
    case 4: return input_lines<4>;
    case 5: return input_lines<5>;
    case 6: return input_lines<6>;
    case 7: return input_lines<7>;
    default: return input_lines<8>;
  }
}

// A^T along one axis: from the kept samples of a line, in order, to m outputs.
template <int ALPHA, int M, int MASK>
VW_INLINE void output_line(const vec* x, vec* y, const OutputFactors<ALPHA, M>& c) {
  constexpr bool zero = ALPHA % 2 == 0;
  constexpr int pairs = (ALPHA - 1 - zero) / 2;
  constexpr bool first = zero && MASK & 1, last = MASK & (1 << (ALPHA - 1));
  const vec* at = x + first;
  vec even[pairs], odd[pairs];
#pragma GCC unroll 4
  for (int k = 0; k < pairs; ++k) {
    const bool plus = MASK & (1 << (zero + 2 * k)), minus = MASK & (2 << (zero + 2 * k));
    if (plus && minus) {
      even[k] = at[0] + at[1];
      odd[k] = at[0] - at[1];
    } else if (plus || minus) {
      even[k] = at[0];
      odd[k] = plus ? at[0] : -at[0];
    }
    at += plus + minus;
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
    vec value = i == 0 && first ? x[0] : zeros();
    bool begun = i == 0 && first;
#pragma GCC unroll 4
    for (int k = 0; k < pairs; ++k) {
      if (!(MASK & (3 << (zero + 2 * k)))) continue;
      const vec part = i % 2 ? odd[k] : even[k];
      if (begun)
        value = i == 0 ? value + part : value + part * c.power[i][k];
      else
        value = i == 0 ? part : part * c.power[i][k];
      begun = true;
    }
    if (i == M - 1 && last) value = begun ? value + *at : *at;
    y[i] = value;
  }
}

// out: m pointers; line l writes at l * line_step. Kept samples are `in_step` apart.
template <int ALPHA, int M>
static const float* output_lines(const float* in, ptrdiff_t in_step, int lines,
                                 const uint8_t* masks, int mask_step, float* const* out,
                                 ptrdiff_t line_step, const Axis& axis) {
  constexpr int all = (1 << ALPHA) - 1;
  float* to[M];
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) to[i] = out[i];
  const OutputFactors<ALPHA, M> factors(axis.c);
  for (int line = 0; line < lines; ++line) {
    const int mask = masks[line * mask_step];
    const auto transform = [&](auto kept) VW_INLINE_LAMBDA {
      constexpr int samples = __builtin_popcount(decltype(kept)::value);
      vec x[samples + 1], y[M];
#pragma GCC unroll 8
      for (int k = 0; k < samples; ++k) x[k] = load(in + k * in_step);
      in += samples * in_step;
      output_line<ALPHA, M, decltype(kept)::value>(x, y, factors);
#pragma GCC unroll 6
      for (int i = 0; i < M; ++i) store(to[i] + line * line_step, y[i]);
    };
    if (mask == all) {
      transform(Mask<all>());
    } else if constexpr (ALPHA <= kCompiledAlpha) {
      with_mask<ALPHA>(mask, transform);
    } else {
      vec x[ALPHA], y[M];
#pragma GCC unroll 8
      for (int k = 0; k < ALPHA; ++k) {
        x[k] = zeros();
        if (mask & (1 << k)) {
          x[k] = load(in);
          in += in_step;
        }
      }
      output_line<ALPHA, M, all>(x, y, factors);
#pragma GCC unroll 6
      for (int i = 0; i < M; ++i) store(to[i] + line * line_step, y[i]);
    }
  }
  return in;
}

// taps 1: outputs are the samples themselves. m 1: their sum.
static const float* plain_lines(const float* in, ptrdiff_t in_step, int lines,
                                const uint8_t* masks, int mask_step, float* const* out,
                                ptrdiff_t line_step, const Axis& axis) {
  for (int line = 0; line < lines; ++line) {
    const int mask = masks[line * mask_step];
    vec sum = zeros();
    for (int k = 0; k < axis.alpha; ++k) {
      vec x = zeros();
      if (mask & (1 << k)) {
        x = load(in);
        in += in_step;
      }
      if (axis.taps == 1) store(out[k] + line * line_step, x);
      sum += x;
    }
    if (axis.taps > 1) store(out[0] + line * line_step, sum);
  }
  return in;
}

typedef const float* (*OutputPass)(const float* in, ptrdiff_t in_step, int lines,
                                   const uint8_t* masks, int mask_step, float* const* out,
                                   ptrdiff_t line_step, const Axis& axis);

template <int TAPS>
static OutputPass output_pass_of(int m) {
  switch (m) {
    case 2: return output_lines<1 + TAPS, 2>;
    case 3: return output_lines<2 + TAPS, 3>;
    case 4: return output_lines<3 + TAPS, 4>;
    case 5: return output_lines<4 + TAPS, 5>;
    default: return output_lines<least_of(5 + TAPS, kMaxAlpha), least_of(6, kMaxAlpha + 1 - TAPS)>;
  }
}

static OutputPass output_pass(const Axis& axis) {
  if (!axis.winograd) return plain_lines;
  if (axis.taps == 2) return output_pass_of<2>(axis.m);
  return axis.taps == 3 ? output_pass_of<3>(axis.m) : output_pass_of<4>(axis.m);
}

}  // namespace VW_ISA
