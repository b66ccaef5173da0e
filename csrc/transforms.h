// From the clip to transformed tiles, and from products to the result, one column of tiles (all
// depths of one place of the picture) and a few vectors of channels at a time: memory is then read
// and written in runs of several cache lines.
//
// V: vectors in x T x row;  M: vectors out x T x row, where a row holds the slots x lanes of a tile
// (and is written and read from end to end) and T is the tiles of a block.
// A frame's height and width transforms are computed once and shared by the tiles it is in.
#pragma once

#include "passes.h"

namespace VW_ISA {

// A block: tile columns [first, first + count) of batch x height x width, depths [depth,
// depth + depths). Tile t of column q is (q - first) * depths + t - depth.
struct Block {
  int first, count, depth, depths;
};

constexpr int kTogether = 4;  // vectors of channels

struct Scratch {
  alignas(64) float patch[kMaxAlpha * kMaxAlpha * kLanes];
  alignas(64) float rows[kMaxAlpha * kMaxAlpha * kLanes];
  alignas(64) float frames[kTogether][kMaxColumns * kLanes];
  alignas(64) float result[kMaxAlpha * kMaxAlpha * kMaxAlpha * kLanes];
};

// A transformed frame of padding.
alignas(64) static const float kNothing[kMaxAlpha * kMaxAlpha * kLanes] = {};

struct Column {
  int n, h, w;
};

static inline Column column_at(const Plan& plan, int index) {
  Column at;
  at.w = index % plan.w.tiles;
  index /= plan.w.tiles;
  at.h = index % plan.h.tiles;
  at.n = index / plan.h.tiles;
  return at;
}

// A clip or a result: N C D H W, or N D H W C.
struct Volume {
  int samples, channels, depth, height, width;
  bool last;
};

static inline Volume clip_of(const Plan& plan) {
  return {plan.batch, plan.in.count, plan.d.input, plan.h.input, plan.w.input, plan.x_last};
}

static inline Volume result_of(const Plan& plan) {
  return {plan.batch, plan.out.count, plan.d.output, plan.h.output, plan.w.output, plan.y_last};
}

// Where one frame's patch lies: in the volume itself, or gathered with zeros around it.
struct Patch {
  const float* start;
  ptrdiff_t row, column;
};

// Rows x columns of one frame, of one vector of channels.
static Patch gather_patch(const Volume& volume, const float* values, int n, int frame,
                          int first_row, int first_column, int rows, int columns, int vector,
                          float* buffer) {
  const int height = volume.height, width = volume.width, channels = volume.channels;
  const int lanes = least(kLanes, channels - vector * kLanes);
  const bool inside = first_row >= 0 && first_row + rows <= height && first_column >= 0 &&
                      first_column + columns <= width;
  const int from = most(0, -first_column), to = least(columns, width - first_column);
  if (volume.last) {
    const ptrdiff_t row_step = ptrdiff_t(width) * channels;
    const float* start = values + (ptrdiff_t(n) * volume.depth + frame) * height * row_step +
                         first_row * row_step + ptrdiff_t(first_column) * channels +
                         vector * kLanes;
    // Lanes beyond the last channel may hold anything, so also the next pixel's channels.
    const float* end =
        values + (ptrdiff_t(volume.samples) * volume.depth) * height * row_step - kLanes;
    const float* last = start + (rows - 1) * row_step + ptrdiff_t(columns - 1) * channels;
    if (inside && (lanes == kLanes || last <= end)) return {start, row_step, channels};
    for (int i = 0; i < rows; ++i) {
      const bool there = first_row + i >= 0 && first_row + i < height;
      float* to_row = buffer + i * columns * kLanes;
      for (int j = 0; j < columns; ++j) store(to_row + j * kLanes, zeros());
      if (!there) continue;
      const float* from_row = start + i * row_step;
      for (int j = from; j < to; ++j) {
        const float* pixel = from_row + ptrdiff_t(j) * channels;
        __builtin_prefetch(pixel + height * row_step);
        store(to_row + j * kLanes,
              lanes == kLanes || pixel <= end ? load(pixel) : load_first(pixel, lanes));
      }
    }
  } else {
    const ptrdiff_t plane = ptrdiff_t(height) * width;
    const float* start =
        values + ((ptrdiff_t(n) * channels + vector * kLanes) * volume.depth + frame) * plane;
    if (!inside || lanes < kLanes)
      for (int i = 0; i < rows * columns; ++i) store(buffer + i * kLanes, zeros());
    for (int i = 0; i < rows; ++i) {
      const int row = first_row + i;
      if (row < 0 || row >= height) continue;
      for (int lane = 0; lane < lanes; ++lane) {
        const float* line = start + lane * ptrdiff_t(volume.depth) * plane +
                            ptrdiff_t(row) * width + first_column;
        float* to_lane = buffer + i * columns * kLanes + lane;
        for (int j = from; j < to; ++j) to_lane[j * kLanes] = line[j];
      }
    }
  }
  return {buffer, ptrdiff_t(columns) * kLanes, kLanes};
}

// The clip's next frame is far away in memory, where no prefetcher of the machine looks.
static inline void expect_patch(const Plan& plan, const Patch& patch) {
  const float* next = patch.start + ptrdiff_t(plan.h.input) * patch.row;
  for (int i = 0; i < plan.h.alpha; ++i)
    for (int j = 0; j < plan.w.alpha; ++j)
      __builtin_prefetch(next + i * patch.row + j * patch.column);
}

// Height and width of one frame: from a patch to the plan's lines.
static inline void plane_lines(const Plan& plan, const Patch& patch, float* to, Scratch& scratch) {
  const int ah = plan.h.alpha, aw = plan.w.alpha;
  const float* in[kMaxAlpha];
  for (int j = 0; j < aw; ++j) in[j] = patch.start + j * patch.column;
  input_pass(plan.w)(in, patch.row, ah, &plan.w_mask, 0, scratch.rows, kLanes, plan.w);
  for (int i = 0; i < ah; ++i) in[i] = scratch.rows + i * plan.widths * kLanes;
  input_pass(plan.h)(in, kLanes, plan.widths, plan.h_mask, 1, to, kLanes, plan.h);
}

// The same, of every line, where height and width are alike and most lines are kept: the usual case,
// also of pruned layers, whose lines lose depths before they go altogether.
template <int ALPHA>
VW_INLINE void plane_square(const Patch& patch, const InputFactors<ALPHA>& factors, float* to) {
  constexpr bool zero = ALPHA % 2 == 0;
  constexpr int pairs = (ALPHA - 1 - zero) / 2, all = (1 << ALPHA) - 1;
  // Two widths at a time, all heights of which stay in registers between the two transforms.
#pragma GCC unroll 4
  for (int k = 0; k <= pairs; ++k) {
    vec one[ALPHA], other[ALPHA];
    const bool ends = k == pairs;
#pragma GCC unroll 8
    for (int i = 0; i < ALPHA; ++i) {
      const float* from = patch.start + i * patch.row;
      vec x[ALPHA];
#pragma GCC unroll 8
      for (int j = 0; j < ALPHA; ++j) x[j] = load(from + j * patch.column);
      if (ends) {
        if (zero) one[i] = input_zero<ALPHA>(x, factors);
        other[i] = input_infinity<ALPHA>(x, factors);
      } else {
        input_pair<ALPHA>(x, k, factors, one[i], other[i]);
      }
    }
    if (!ends || zero)
      input_line<ALPHA, all>(one, to + (ends ? 0 : zero + 2 * k) * ALPHA * kLanes, kLanes,
                             factors);
    input_line<ALPHA, all>(other, to + (ends ? ALPHA - 1 : zero + 2 * k + 1) * ALPHA * kLanes,
                           kLanes, factors);
  }
}

// SQUARE: the alpha of height and width where plane_square serves, else 0.
template <int SQUARE>
static void transform_input_of(const Plan& plan, const Block& block, const float* x, int column,
                               int vector, float* v, Scratch& scratch) {
  const InputPass along_d = input_pass(plan.d);
  const Volume clip = clip_of(plan);
  const Column at = column_at(plan, column);
  const int ad = plan.d.alpha;
  const int vectors = least(kTogether, plan.in.vectors - vector);
  const int tiles = block.count * block.depths;
  const ptrdiff_t frame_step = ptrdiff_t(plan.lines) * kLanes;
  float* out =
      v + (ptrdiff_t(vector) * tiles + ptrdiff_t(column - block.first) * block.depths) * plan.row;
  constexpr int alpha = SQUARE ? SQUARE : 4;
  const InputFactors<alpha> factors(plan.h.c);
  const int first = block.depth * plan.d.m;  // in padded frames
  int done = first;
  for (int t = 0; t < block.depths; ++t, out += plan.row) {
    for (const int stop = first + t * plan.d.m + ad; done < stop; ++done) {
      const int frame = done - plan.d.padding;
      if (frame < 0 || frame >= plan.d.input) continue;
      for (int i = 0; i < vectors; ++i) {
        float* to = scratch.frames[i] + (done % ad) * frame_step;
        const Patch patch = gather_patch(
            clip, x, at.n, frame, at.h * plan.h.m - plan.h.padding,
            at.w * plan.w.m - plan.w.padding, plan.h.alpha, plan.w.alpha, vector + i,
            scratch.patch);
        if (patch.start != scratch.patch && frame + 1 < plan.d.input) expect_patch(plan, patch);
        if (SQUARE)
          plane_square<alpha>(patch, factors, to);
        else
          plane_lines(plan, patch, to, scratch);
      }
    }
    for (int i = 0; i < vectors; ++i) {
      const float* in[kMaxAlpha];
      for (int j = 0; j < ad; ++j) {
        const int padded = first + t * plan.d.m + j, frame = padded - plan.d.padding;
        const bool there = frame >= 0 && frame < plan.d.input;
        in[j] = there ? scratch.frames[i] + padded % ad * frame_step : kNothing;
      }
      along_d(in, kLanes, plan.lines, plan.d_mask, 1, out + i * tiles * plan.row, kLanes, plan.d);
    }
  }
}

// Vectors [vector, vector + kTogether) of a column of tiles.
static void transform_input(const Plan& plan, const Block& block, const float* x, int column,
                            int vector, float* v, Scratch& scratch) {
  switch (plan.square) {
    case 4: return transform_input_of<4>(plan, block, x, column, vector, v, scratch);
    case 5: return transform_input_of<5>(plan, block, x, column, vector, v, scratch);
    case 6: return transform_input_of<6>(plan, block, x, column, vector, v, scratch);
    case 7: return transform_input_of<7>(plan, block, x, column, vector, v, scratch);
    case 8: return transform_input_of<8>(plan, block, x, column, vector, v, scratch);
    default: return transform_input_of<0>(plan, block, x, column, vector, v, scratch);
  }
}

// Where a tile's vector of channels goes in the result, and what is done to it on the way.
struct Target {
  float* values;          // of the first of the tile's places and channels
  const float* residual;  // as values, or null
  const float* bias;      // of the first channel, or null
  bool relu, streamed;
  int depths, rows, columns, lanes;                // that are inside the result
  ptrdiff_t frame_step, row_step, column_step, lane_step;  // in floats
};

static inline Target target_at(const Plan& plan, const Column& at, int tile, int vector,
                               const vw_epilogue& epilogue, float* y) {
  Target to;
  to.depths = least(plan.d.m, plan.d.output - tile * plan.d.m);
  to.rows = least(plan.h.m, plan.h.output - at.h * plan.h.m);
  to.columns = least(plan.w.m, plan.w.output - at.w * plan.w.m);
  to.lanes = least(kLanes, plan.out.count - vector * kLanes);
  const ptrdiff_t places = ptrdiff_t(plan.d.output) * plan.h.output * plan.w.output;
  to.column_step = plan.y_last ? plan.out.count : 1;
  to.row_step = plan.w.output * to.column_step;
  to.frame_step = plan.h.output * to.row_step;
  to.lane_step = plan.y_last ? 1 : places;
  const ptrdiff_t place = at.n * places * plan.out.count + tile * plan.d.m * to.frame_step +
                          at.h * plan.h.m * to.row_step + at.w * plan.w.m * to.column_step +
                          vector * kLanes * to.lane_step;
  to.values = y + place;
  to.residual = epilogue.residual ? epilogue.residual + place : nullptr;
  to.bias = epilogue.bias ? epilogue.bias + vector * kLanes : nullptr;
  to.relu = epilogue.relu;
  to.streamed = plan.streamed;
  return to;
}

// Rows x columns of one frame, from memory.
static void write_frame(const Target& to, int frame, const float* from, ptrdiff_t from_row) {
  for (int i = 0; i < to.rows; ++i)
    for (int lane = 0; lane < to.lanes; ++lane)
      for (int j = 0; j < to.columns; ++j) {
        const ptrdiff_t place = frame * to.frame_step + i * to.row_step + j * to.column_step +
                                lane * to.lane_step;
        float value = from[i * from_row + j * kLanes + lane];
        if (to.bias) value += to.bias[lane];
        if (to.residual) value += to.residual[place];
        to.values[place] = to.relu && value < 0 ? 0 : value;
      }
}

// Puts the vectors of one frame where they belong, for whole vectors of channels that lie last.
struct WholeFrame {
  float* values;
  const float* residual;
  vec bias, floor;
  bool streamed;
  int rows, columns;
  ptrdiff_t row_step, column_step;

  VW_INLINE_MEMBER WholeFrame(const Target& to, int frame)
      : values(to.values + frame * to.frame_step),
        residual(to.residual ? to.residual + frame * to.frame_step : nullptr),
        bias(to.bias ? load(to.bias) : zeros()),
        floor(zeros() - (to.relu ? 0.0f : __builtin_inff())),
        streamed(to.streamed),
        rows(to.rows),
        columns(to.columns),
        row_step(to.row_step),
        column_step(to.column_step) {}

  VW_INLINE_MEMBER void operator()(int i, int j, vec value) const {
    if (i >= rows || j >= columns) return;
    const ptrdiff_t place = i * row_step + j * column_step;
    value += bias;
    if (residual) value += load(residual + place);
    put(values + place, value < floor ? floor : value, streamed);
  }
};

// The result's lines come into the cache while the tile is still being computed.
static inline void expect_result(const Target& to) {
  if (to.lane_step != 1 || to.streamed) return;
  for (int d = 0; d < to.depths; ++d)
    for (int i = 0; i < to.rows; ++i)
      for (int j = 0; j < to.columns; ++j)
        __builtin_prefetch(to.values + d * to.frame_step + i * to.row_step + j * to.column_step, 1);
}

static inline void plane_results(const Plan& plan, const float* lines, float* result,
                                 Scratch& scratch) {
  const int mh = plan.h.m, mw = plan.w.m;
  float* out[kMaxAlpha];
  for (int i = 0; i < mh; ++i) out[i] = scratch.rows + i * plan.widths * kLanes;
  output_pass(plan.h)(lines, kLanes, plan.widths, plan.h_mask, 1, out, kLanes, plan.h);
  for (int j = 0; j < mw; ++j) out[j] = result + j * kLanes;
  output_pass(plan.w)(scratch.rows, kLanes, mh, &plan.w_mask, 0, out, mw * kLanes, plan.w);
}

// put(i, j, vector): takes what belongs at row i and column j.
template <int ALPHA, int M, typename Put>
VW_INLINE void plane_square_results(const float* lines, const OutputFactors<ALPHA, M>& factors,
                                    const Put& put) {
  constexpr int all = (1 << ALPHA) - 1;
  vec rows[M][ALPHA];
#pragma GCC unroll 8
  for (int j = 0; j < ALPHA; ++j) {
    vec x[ALPHA], y[M];
#pragma GCC unroll 8
    for (int i = 0; i < ALPHA; ++i) x[i] = load(lines + (j * ALPHA + i) * kLanes);
    output_line<ALPHA, M, all>(x, y, factors);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) rows[i][j] = y[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
    vec y[M];
    output_line<ALPHA, M, all>(rows[i], y, factors);
#pragma GCC unroll 6
    for (int j = 0; j < M; ++j) put(i, j, y[j]);
  }
}

// SQUARE as of transform_input_of.
template <int SQUARE, int M>
static void transform_output_of(const Plan& plan, const Block& block, const float* m, int column,
                                int vector, int vectors, const vw_epilogue& epilogue, float* y,
                                Scratch& scratch) {
  const OutputPass along_d = output_pass(plan.d);
  const Column at = column_at(plan, column);
  const int md = plan.d.m;
  const ptrdiff_t row = plan.w.m * kLanes;
  const int tiles = block.count * block.depths;
  const float* in = m + ptrdiff_t(column - block.first) * block.depths * plan.row;
  constexpr int alpha = SQUARE ? SQUARE : 4, outputs = SQUARE ? M : 2;
  const OutputFactors<alpha, outputs> factors(plan.h.c);
  float* out[kMaxAlpha];
  for (int i = 0; i < md; ++i) out[i] = scratch.frames[0] + i * plan.lines * kLanes;
  for (int item = 0; item < block.depths * vectors; ++item) {
    const int t = item / vectors, i = item % vectors;
    const Target to = target_at(plan, at, block.depth + t, vector + i, epilogue, y);
    expect_result(to);
    along_d(in + (ptrdiff_t(i) * tiles + t) * plan.row, kLanes, plan.lines, plan.d_mask, 1, out,
            kLanes, plan.d);
    for (int d = 0; d < to.depths; ++d) {
      if (SQUARE && to.lane_step == 1 && to.lanes == kLanes) {
        plane_square_results<alpha, outputs>(out[d], factors, WholeFrame(to, d));
        continue;
      }
      if (SQUARE)
        plane_square_results<alpha, outputs>(out[d], factors, [&](int i, int j, vec value) VW_INLINE_LAMBDA {
          store(scratch.result + i * row + j * kLanes, value);
        });
      else
        plane_results(plan, out[d], scratch.result, scratch);
      if (to.lane_step == 1 && to.lanes == kLanes) {
        const WholeFrame whole(to, d);
        for (int i = 0; i < plan.h.m; ++i)
          for (int j = 0; j < plan.w.m; ++j)
            whole(i, j, load(scratch.result + i * row + j * kLanes));
      } else {
        write_frame(to, d, scratch.result, row);
      }
    }
  }
}

// Vectors [vector, vector + vectors) of a column of tiles; m: the first of them.
static void transform_output(const Plan& plan, const Block& block, const float* m, int column,
                             int vector, int vectors, const vw_epilogue& epilogue, float* y,
                             Scratch& scratch) {
  switch (plan.square * 8 + plan.h.m) {
    case 4 * 8 + 2:
      return transform_output_of<4, 2>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
    case 5 * 8 + 3:
      return transform_output_of<5, 3>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
    case 6 * 8 + 4:
      return transform_output_of<6, 4>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
    case 7 * 8 + 5:
      return transform_output_of<7, 5>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
    case 8 * 8 + 6:
      return transform_output_of<8, 6>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
    default:
      return transform_output_of<0, 0>(plan, block, m, column, vector, vectors, epilogue, y,
                                       scratch);
  }
}

}  // namespace VW_ISA
