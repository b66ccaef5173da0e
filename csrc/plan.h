// What a convolution needs to know before it starts: axes, kept columns, blocks.
//
// Inside the kernels positions are ordered with width slowest and depth fastest, the order in which
// the passes over the axes produce them; a kept position's place in that order is its slot. Without
// strides a slot is a kept column. With strides it is a column of each phase that keeps it.
#pragma once

#include "simd.h"
#include "videowino.h"

namespace VW_ISA {

constexpr int kMaxAlpha = 8;
constexpr int kMaxSlots = kMaxAlpha * kMaxAlpha * kMaxAlpha;
constexpr int kMaxStride = 2;
constexpr int kBlock = 16;  // channels that spans are made of
constexpr int kMaxPhases = kMaxStride * kMaxStride * kMaxStride;
constexpr int kMaxColumns = kMaxSlots * kMaxPhases;
// Of output channels, in the registers of one GEMM tile.
constexpr int kMaxVectors = VW_REGISTERS == 32 ? 4 : 2;

// Coefficients of one axis. Points are 0 (where alpha is even), pairs +-a, and infinity; then the
// rows of B^T for +-a are P + a Q and P - a Q, with P and Q the same polynomial s in x^2, one
// sample apart; e is the polynomial of the rows for 0 and infinity.
struct Coefficients {
  float a[VW_MAX_PAIRS];
  float s[VW_MAX_PAIRS][VW_MAX_PAIRS];  // s[k][j]: of x^(top - 2j), s[k][0] = 1
  float e[VW_MAX_PAIRS + 1];
  float power[kMaxAlpha][kMaxAlpha];  // power[i][k] = A^T[i][k]
};

// A convolution with stride s is the sum of s convolutions with stride 1 along that axis, one of each
// phase: every s-th sample of the clip, with every s-th tap.
struct Phase {
  int offset;     // of its first sample in the clip
  int first;      // its sample that the first output's first tap meets
  int samples;
  int start;      // of its positions among those of the caller's axis
  int positions;  // alpha, or one less, the last, where it has a tap less than others
};

struct Axis {
  int input, output, m, alpha, tiles;
  int positions;  // of all phases
  int taps;  // of the phases
  int stride, phases;
  Phase phase[kMaxStride];
  bool winograd;  // else B^T is the identity
  int pairs;
  bool zero;
  Coefficients c;
};

// One side's channels, as numbers and as vectors.
struct Channels {
  int count, vectors;
};

struct Plan {
  Axis d, h, w;
  int batch;
  Channels in, out;  // in: of one phase
  int phases;
  // Of few channels all phases are gathered beforehand, side by side in a vector (see
  // gather_phases.h): what follows has no stride. `clip` is then what they are gathered from.
  bool gathered;
  struct {
    Axis d, h, w;
    int channels;
    bool last;
  } clip;
  bool x_last, y_last;
  // Kept columns. Depth masks, one a (width, height) line; height masks, one a width. Lines without a
  // kept depth are left out, unless `square`.
  int columns, slots;
  ptrdiff_t row;  // floats from one tile's slots to the next tile's
  int lines;
  int widths;
  uint8_t w_mask;
  uint8_t h_mask[kMaxAlpha];
  uint8_t d_mask[kMaxAlpha * kMaxAlpha];
  int square;  // alpha of height and width where they are one transform and most lines are kept
  // The phases that keep a slot, and how many of them all slots before it have.
  uint8_t met[kMaxSlots];
  int16_t before[kMaxSlots + 1];
  // In the order of slots and then phases, which is that of the packed weight: the index among the
  // caller's columns; -1 where a gathered clip has a phase that does not keep the slot.
  int products;
  int16_t source[kMaxColumns];
  int channels;  // of the caller's weight
  // Channels that columns are kept for (vw_problem), null where all are; then how many of them all
  // products before one have.
  const int32_t* spans;
  const vw_span* span;
  int32_t rows[kMaxColumns + 1];
  int threads, tiles, team;
  bool narrow;    // whether the packed weight has sixteen bits
  bool streamed;  // whether the result is written past the caches
};

static Axis make_axis(const vw_axis& given) {
  Axis axis{};
  axis.input = given.input;
  axis.output = given.output;
  axis.m = given.m;
  axis.stride = given.stride;
  axis.taps = ceil_div(given.taps, given.stride);
  axis.alpha = given.m + axis.taps - 1;
  // The caller's positions are in the order of the phases' first taps.
  for (int tap = 0; tap < least(given.taps, given.stride); ++tap) {
    const int offset = (given.stride + tap - given.padding % given.stride) % given.stride;
    const int own = given.m + ceil_div(given.taps - tap, given.stride) - 1;
    axis.phase[axis.phases++] = {offset, (tap - given.padding - offset) / given.stride,
                                 ceil_div(given.input - offset, given.stride), axis.positions, own};
    axis.positions += own;
  }
  axis.tiles = ceil_div(given.output, given.m);
  axis.winograd = given.m > 1 && axis.taps > 1;
  Coefficients& c = axis.c;
  if (!axis.winograd) {
    for (int i = 0; i < axis.m; ++i)
      for (int k = 0; k < axis.alpha; ++k) c.power[i][k] = axis.m == 1 || i == k ? 1.0f : 0.0f;
    return axis;
  }
  axis.zero = axis.alpha % 2 == 0;
  axis.pairs = (axis.alpha - 1 - axis.zero) / 2;
  double all[VW_MAX_PAIRS + 1] = {1.0};
  for (int k = 0; k < axis.pairs; ++k) {
    double square = double(given.points[k]) * given.points[k];
    for (int j = k + 1; j > 0; --j) all[j] -= square * all[j - 1];
    c.a[k] = given.points[k];
    double rest[VW_MAX_PAIRS] = {1.0};
    int degree = 0;
    for (int other = 0; other < axis.pairs; ++other) {
      if (other == k) continue;
      double b = double(given.points[other]) * given.points[other];
      ++degree;
      for (int j = degree; j > 0; --j) rest[j] -= b * rest[j - 1];
    }
    for (int j = 0; j < axis.pairs; ++j) c.s[k][j] = float(rest[j]);
  }
  for (int j = 0; j <= axis.pairs; ++j) c.e[j] = float(all[j]);
  for (int i = 0; i < axis.m; ++i) {
    int column = 0;
    if (axis.zero) c.power[i][column++] = i == 0 ? 1.0f : 0.0f;
    for (int k = 0; k < axis.pairs; ++k) {
      double value = 1.0;
      for (int times = 0; times < i; ++times) value *= given.points[k];
      c.power[i][column++] = float(value);
      c.power[i][column++] = float(i % 2 ? -value : value);
    }
    c.power[i][column] = i == axis.m - 1 ? 1.0f : 0.0f;
  }
  return axis;
}

// One phase of all three axes.
struct Phases {
  const Phase *d, *h, *w;
};

static inline Phases phases_at(const Plan& plan, int index) {
  const int w = plan.w.phases, h = plan.h.phases;
  return {&plan.d.phase[index / (w * h)], &plan.h.phase[index / w % h], &plan.w.phase[index % w]};
}

// The caller's position that is place d, h, w of a phase; -1 for none.
static int position_of(const Plan& plan, const Phases& of, int d, int h, int w) {
  if (d >= of.d->positions || h >= of.h->positions || w >= of.w->positions) return -1;
  return ((of.d->start + d) * plan.h.positions + of.h->start + h) * plan.w.positions + of.w->start +
         w;
}

static inline void without_stride(Axis& axis) {
  axis.stride = axis.phases = 1;
  axis.input = axis.tiles * axis.m + axis.taps - 1;
  axis.phase[0] = {0, 0, axis.input, 0, axis.alpha};
}

static bool is_gathered(const Plan& plan) {
  return plan.phases > 1 &&
         2 * ceil_div(plan.in.count * plan.phases, kLanes) <= plan.phases * plan.in.vectors;
}

// From here on a clip without strides, whose channels are those of all phases.
static void gather_beforehand(Plan& plan) {
  plan.clip = {plan.d, plan.h, plan.w, plan.in.count, plan.x_last};
  for (int slot = 0; slot < plan.slots; ++slot) {
    plan.met[slot] = 1;
    plan.before[slot + 1] = int16_t(slot + 1);
  }
  const int channels = plan.in.count * plan.phases;
  plan.in = {channels, ceil_div(channels, kLanes)};
  plan.phases = 1;
  plan.x_last = true;
  without_stride(plan.d);
  without_stride(plan.h);
  without_stride(plan.w);
}

// As if an axis had only one phase.
static void take_phase(Axis& axis, int index) {
  axis.phase[0] = axis.phase[index];
  axis.phases = 1;
}

static inline int phases_of(const vw_problem& given) {
  int count = 1;
  for (const vw_axis& axis : given.axis) count *= least(axis.taps, axis.stride);
  return count;
}

// The spans of a kept column.
struct Spans {
  const vw_span *first, *end;

  int channels() const { return end[-1].before + end[-1].count; }
};

static inline Spans spans_of(const Plan& plan, int source) {
  return {plan.span + plan.spans[source], plan.span + plan.spans[source + 1]};
}

static void count_rows(Plan& plan) {
  plan.rows[0] = 0;
  for (int product = 0; product < plan.products; ++product)
    plan.rows[product + 1] = plan.rows[product] + spans_of(plan, plan.source[product]).channels();
}

// Rows of the packed weight, channels that products have, before a slot's.
static inline ptrdiff_t rows_before(const Plan& plan, int slot) {
  const ptrdiff_t products = plan.before[slot];
  return plan.spans ? plan.rows[products] : products * plan.in.count;
}

// only: the number of the phase that is planned for; -1: all of them.
static void make_plan(const vw_problem& given, Plan& plan, int only = -1) {
  plan.d = make_axis(given.axis[0]);
  plan.h = make_axis(given.axis[1]);
  plan.w = make_axis(given.axis[2]);
  plan.batch = given.batch;
  if (only >= 0) {
    const int w = plan.w.phases, h = plan.h.phases;
    take_phase(plan.d, only / (w * h));
    take_phase(plan.h, only / w % h);
    take_phase(plan.w, only % w);
  }
  plan.in = {given.in_channels, ceil_div(given.in_channels, kLanes)};
  plan.phases = plan.d.phases * plan.h.phases * plan.w.phases;
  plan.out = {given.out_channels, ceil_div(given.out_channels, kLanes)};
  plan.x_last = given.x_channels_last;
  plan.y_last = given.y_channels_last;
  plan.columns = given.columns;
  plan.channels = given.in_channels;
  plan.gathered = is_gathered(plan) && !given.spans;
  int16_t index[kMaxColumns];
  const int ad = plan.d.alpha, ah = plan.h.alpha, aw = plan.w.alpha;
  for (int p = 0; p < plan.d.positions * plan.h.positions * plan.w.positions; ++p) index[p] = -1;
  for (int i = 0; i < given.columns; ++i) index[given.column[i]] = int16_t(i);
  uint8_t depths[kMaxAlpha * kMaxAlpha];  // masks of all lines
  int kept = 0;
  plan.slots = plan.products = 0;
  plan.before[0] = 0;
  for (int w = 0; w < aw; ++w)
    for (int h = 0; h < ah; ++h) {
      uint8_t& mask = depths[w * ah + h];
      mask = 0;
      for (int d = 0; d < ad; ++d) {
        uint8_t met = 0;
        int products = plan.products;
        for (int phase = 0; phase < plan.phases; ++phase) {
          const int position = position_of(plan, phases_at(plan, phase), d, h, w);
          const int16_t source = position < 0 ? int16_t(-1) : index[position];
          if (source >= 0) met |= uint8_t(1 << phase);
          if (source >= 0 || plan.gathered) plan.source[products++] = source;
        }
        if (!met) continue;
        mask |= uint8_t(1 << d);
        plan.products = products;
        plan.met[plan.slots++] = met;
        plan.before[plan.slots] = int16_t(products);
      }
      kept += mask != 0;
    }
  plan.spans = given.spans;
  plan.span = given.span;
  if (plan.spans) count_rows(plan);
  if (plan.gathered) gather_beforehand(plan);
  bool alike = plan.h.winograd && plan.w.winograd && plan.h.m == plan.w.m && ah == aw;
  for (int k = 0; k < VW_MAX_PAIRS; ++k) alike = alike && plan.h.c.a[k] == plan.w.c.a[k];
  const bool special = plan.h.taps > 1 && ah >= 4;
  plan.square = alike && special && 2 * kept >= ah * aw ? ah : 0;
  plan.lines = plan.widths = 0;
  plan.w_mask = 0;
  for (int w = 0; w < aw; ++w) {
    uint8_t h_mask = 0;
    for (int h = 0; h < ah; ++h) {
      if (!depths[w * ah + h] && !plan.square) continue;
      plan.d_mask[plan.lines++] = depths[w * ah + h];
      h_mask |= uint8_t(1 << h);
    }
    if (!h_mask) continue;
    plan.w_mask |= uint8_t(1 << w);
    plan.h_mask[plan.widths++] = h_mask;
  }
  // An odd number of cache lines: rows then start in different sets of the cache.
  plan.row = ptrdiff_t(plan.slots | 1) * kLanes;
  plan.threads = given.threads;
  plan.tiles = given.tiles;
  plan.team = given.team;
  plan.narrow = given.weight_bits == 16;
}

// The columns of a matrix product, in groups that fit the registers: even ones, the wider first.
// An odd number of them becomes even where that costs little, so that two threads have the same to
// do.
static inline int group_count(const Channels& channels) {
  const int groups = ceil_div(channels.vectors, kMaxVectors);
  const bool little = kMaxVectors > 2 && channels.vectors >= (groups + 1) * (kMaxVectors - 1);
  return groups > 2 && groups % 2 && little ? groups + 1 : groups;
}

static inline int group_vectors(const Channels& channels, int group) {
  const int groups = group_count(channels);
  return channels.vectors / groups + (group < channels.vectors % groups);
}

static inline int group_start(const Channels& channels, int group) {
  const int groups = group_count(channels);
  return group * (channels.vectors / groups) + least(group, channels.vectors % groups);
}

}  // namespace VW_ISA
