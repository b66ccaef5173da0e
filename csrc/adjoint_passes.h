// The transposes of the one-dimensional transforms, for the gradients; lines, masks and the order
// of samples as in passes.h.
#pragma once

#include "passes.h"

namespace VW_ISA {

// A along one axis: from m samples of the result's gradient to the kept ones of alpha.
template <int ALPHA, int M>
static float* spread_lines(const float* const* in, ptrdiff_t line_step, int lines,
                           const uint8_t* masks, int mask_step, float* out, ptrdiff_t out_step,
                           const Axis& axis) {
  const OutputFactors<ALPHA, M> c(axis.c);
  const float* from[M];
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) from[i] = in[i];
  for (int line = 0; line < lines; ++line) {
    const int mask = masks[line * mask_step];
    vec y[M];
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) y[i] = load(from[i] + line * line_step);
    int bit = 0;
    if (c.zero) {
      if (mask & 1) {
        store(out, y[0]);
        out += out_step;
      }
      bit = 1;
    }
#pragma GCC unroll 4
    for (int k = 0; k < c.pairs; ++k, bit += 2) {
      if (!(mask & (3 << bit))) continue;
      vec even = y[0], odd = y[1] * c.power[1][k];
#pragma GCC unroll 6
      for (int i = 2; i < M; ++i) {
        if (i % 2)
          odd += y[i] * c.power[i][k];
        else
          even += y[i] * c.power[i][k];
      }
      if (mask & (1 << bit)) {
        store(out, even + odd);
        out += out_step;
      }
      if (mask & (2 << bit)) {
        store(out, even - odd);
        out += out_step;
      }
    }
    if (mask & (1 << bit)) {
      store(out, y[M - 1]);
      out += out_step;
    }
  }
  return out;
}

// taps 1: the samples themselves. m 1: the one sample everywhere.
static float* plain_spread_lines(const float* const* in, ptrdiff_t line_step, int lines,
                                 const uint8_t* masks, int mask_step, float* out,
                                 ptrdiff_t out_step, const Axis& axis) {
  for (int line = 0; line < lines; ++line)
    for (int k = 0, mask = masks[line * mask_step]; k < axis.alpha; ++k)
      if (mask & (1 << k)) {
        store(out, load(in[axis.taps == 1 ? k : 0] + line * line_step));
        out += out_step;
      }
  return out;
}

template <int TAPS>
static InputPass spread_pass_of(int m) {
  switch (m) {
    case 2: return spread_lines<1 + TAPS, 2>;
    case 3: return spread_lines<2 + TAPS, 3>;
    case 4: return spread_lines<3 + TAPS, 4>;
    case 5: return spread_lines<4 + TAPS, 5>;
    default: return spread_lines<least_of(5 + TAPS, kMaxAlpha), least_of(6, kMaxAlpha + 1 - TAPS)>;
  }
}

static InputPass spread_pass(const Axis& axis) {
  if (!axis.winograd) return plain_spread_lines;
  if (axis.taps == 2) return spread_pass_of<2>(axis.m);
  return axis.taps == 3 ? spread_pass_of<3>(axis.m) : spread_pass_of<4>(axis.m);
}

// B along one axis: from the kept samples to the gradient of alpha samples of the clip.
template <int ALPHA>
static const float* collect_lines(const float* in, ptrdiff_t in_step, int lines,
                                  const uint8_t* masks, int mask_step, float* const* out,
                                  ptrdiff_t line_step, const Axis& axis) {
  const InputFactors<ALPHA> c(axis.c);
  float* to[ALPHA];
#pragma GCC unroll 8
  for (int i = 0; i < ALPHA; ++i) to[i] = out[i];
  for (int line = 0; line < lines; ++line) {
    const int mask = masks[line * mask_step];
    vec x[ALPHA], v[ALPHA];
#pragma GCC unroll 8
    for (int k = 0; k < ALPHA; ++k) {
      x[k] = v[k] = zeros();
      if (mask & (1 << k)) {
        v[k] = load(in);
        in += in_step;
      }
    }
    if (c.zero) {
      x[ALPHA - 2] = v[0];
#pragma GCC unroll 4
      for (int j = 1; j <= c.pairs; ++j) x[ALPHA - 2 - 2 * j] = v[0] * c.e[j];
    }
#pragma GCC unroll 4
    for (int k = 0; k < c.pairs; ++k) {
      const vec plus = v[c.zero + 2 * k], minus = v[c.zero + 2 * k + 1];
      const vec sum = plus + minus, difference = (plus - minus) * c.a[k];
      x[ALPHA - 2] += sum;
      x[ALPHA - 3] += difference;
#pragma GCC unroll 4
      for (int j = 1; j < c.pairs; ++j) {
        x[ALPHA - 2 - 2 * j] += sum * c.s[k][j];
        x[ALPHA - 3 - 2 * j] += difference * c.s[k][j];
      }
    }
    x[ALPHA - 1] += v[ALPHA - 1];
#pragma GCC unroll 4
    for (int j = 1; j <= c.pairs; ++j) x[ALPHA - 1 - 2 * j] += v[ALPHA - 1] * c.e[j];
#pragma GCC unroll 8
    for (int i = 0; i < ALPHA; ++i) store(to[i] + line * line_step, x[i]);
  }
  return in;
}

static const float* plain_collect_lines(const float* in, ptrdiff_t in_step, int lines,
                                        const uint8_t* masks, int mask_step, float* const* out,
                                        ptrdiff_t line_step, const Axis& axis) {
  for (int line = 0; line < lines; ++line)
    for (int k = 0, mask = masks[line * mask_step]; k < axis.alpha; ++k) {
      vec value = zeros();
      if (mask & (1 << k)) {
        value = load(in);
        in += in_step;
      }
      store(out[k] + line * line_step, value);
    }
  return in;
}

static OutputPass collect_pass(const Axis& axis) {
  if (!axis.winograd) return plain_collect_lines;
  switch (axis.alpha) {
    case 3: return collect_lines<3>;
    case 4: return collect_lines<4>;
    case 5: return collect_lines<5>;
    case 6: return collect_lines<6>;
    case 7: return collect_lines<7>;
    default: return collect_lines<8>;
  }
}

}  // namespace VW_ISA
