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

template <int ALPHA, bool FULL>
VW_INLINE float* input_line(const vec* x, int mask, float* out, ptrdiff_t out_step,
                            const InputFactors<ALPHA>& c) {
  int bit = 0;
  if (c.zero) {
    if (FULL || mask & 1) {
      store(out, input_zero<ALPHA>(x, c));
      out += out_step;
    }
    bit = 1;
  }
#pragma GCC unroll 4
  for (int k = 0; k < c.pairs; ++k, bit += 2) {
    if (FULL || mask & (3 << bit)) {
      vec plus, minus;
      input_pair<ALPHA>(x, k, c, plus, minus);
      if (FULL || mask & (1 << bit)) {
        store(out, plus);
        out += out_step;
      }
      if (FULL || mask & (2 << bit)) {
        store(out, minus);
        out += out_step;
      }
    }
  }
  if (FULL || mask & (1 << bit)) {
    store(out, input_infinity<ALPHA>(x, c));
    out += out_step;
  }
  return out;
}

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
    out = mask == all ? input_line<ALPHA, true>(x, mask, out, out_step, factors)
                      : input_line<ALPHA, false>(x, mask, out, out_step, factors);
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

// A^T along one axis: from the kept samples of a line, `in_step` apart, to m outputs.
// out: m pointers; line l writes at l * line_step.
template <int ALPHA, int M>
VW_INLINE void output_full(const vec* x, vec* y, const OutputFactors<ALPHA, M>& c) {
  constexpr bool zero = ALPHA % 2 == 0;
  constexpr int pairs = (ALPHA - 1 - zero) / 2;
  vec sum[pairs], difference[pairs];
#pragma GCC unroll 4
  for (int k = 0; k < pairs; ++k) {
    sum[k] = x[zero + 2 * k] + x[zero + 2 * k + 1];
    difference[k] = x[zero + 2 * k] - x[zero + 2 * k + 1];
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
    const vec* part = i % 2 ? difference : sum;
    vec value = i == 0 ? part[0] : part[0] * c.power[i][0];
#pragma GCC unroll 4
    for (int k = 1; k < pairs; ++k)
      value = i == 0 ? value + part[k] : value + part[k] * c.power[i][k];
    if (zero && i == 0) value += x[0];
    if (i == M - 1) value += x[ALPHA - 1];
    y[i] = value;
  }
}

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
    vec y[M];
    if (mask == all) {
      vec x[ALPHA];
#pragma GCC unroll 8
      for (int k = 0; k < ALPHA; ++k) x[k] = load(in + k * in_step);
      in += ALPHA * in_step;
      output_full<ALPHA, M>(x, y, factors);
    } else {
#pragma GCC unroll 6
      for (int i = 0; i < M; ++i) y[i] = zeros();
      for (int rest = mask; rest; rest &= rest - 1) {
        const int k = __builtin_ctz(unsigned(rest));
        const vec x = load(in);
        in += in_step;
#pragma GCC unroll 6
        for (int i = 0; i < M; ++i) y[i] += x * axis.c.power[i][k];
      }
    }
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) store(to[i] + line * line_step, y[i]);
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
    default: return output_lines<5 + TAPS, 6>;
  }
}

static OutputPass output_pass(const Axis& axis) {
  if (!axis.winograd) return plain_lines;
  return axis.taps == 2 ? output_pass_of<2>(axis.m) : output_pass_of<3>(axis.m);
}

}  // namespace VW_ISA
