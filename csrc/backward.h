// The gradients of the clip and of the weight, in one walk over blocks of tiles.
//
// All threads share a block and meet between the steps: dM and V by tiles; products by slots, so
// that every weight gradient has one thread that adds to it; the clip's gradient by tiles again, in
// colours, since neighbouring tiles overlap. Sums are made in the same order in every run.
#pragma once

#include "adjoint_transforms.h"
#include "gemm.h"
#include "input_transform.h"
#include "pack.h"
#include "schedule.h"

namespace VW_ISA {

// Columns of tiles of one colour do not overlap.
struct Colours {
  int h, w;
};

static inline Colours colours(const Plan& plan) {
  return {ceil_div(plan.h.alpha, plan.h.m), ceil_div(plan.w.alpha, plan.w.m)};
}

static void fill_zero(float* values, int64_t count) {
#pragma omp for schedule(static)
  for (int64_t i = 0; i < count; ++i) values[i] = 0;
}

// Rows of C_in floats to rows of whole vectors with zeros behind, and back.
static void pad_rows(const Plan& plan, const float* rows, float* padded) {
  const int width = plan.in.vectors * kLanes;
  for (int o = 0; o < plan.out.count; ++o, rows += plan.in.count, padded += width)
    for (int i = 0; i < width; ++i) padded[i] = i < plan.in.count ? rows[i] : 0;
}

static void unpad_rows(const Plan& plan, const float* padded, float* rows) {
  const int width = plan.in.vectors * kLanes;
  for (int o = 0; o < plan.out.count; ++o, rows += plan.in.count, padded += width)
    for (int i = 0; i < plan.in.count; ++i) rows[i] = padded[i];
}

// The same of the channels in some spans alone, which then lie side by side.
static void gather_rows(const Plan& plan, const Spans& spans, const float* rows, float* padded) {
  const int kept = spans.channels(), width = ceil_div(kept, kLanes) * kLanes;
  for (int o = 0; o < plan.out.count; ++o, rows += plan.in.count, padded += width) {
    for (const vw_span* span = spans.first; span < spans.end; ++span)
      for (int i = 0; i < span->count; ++i) padded[span->before + i] = rows[span->first + i];
    for (int i = kept; i < width; ++i) padded[i] = 0;
  }
}

// Zeros at other channels.
static void scatter_rows(const Plan& plan, const Spans& spans, const float* padded, float* rows) {
  const int width = ceil_div(spans.channels(), kLanes) * kLanes;
  for (int o = 0; o < plan.out.count; ++o, rows += plan.in.count, padded += width) {
    int done = 0;
    for (const vw_span* span = spans.first; span < spans.end; ++span) {
      for (; done < span->first; ++done) rows[done] = 0;
      for (int i = 0; i < span->count; ++i, ++done) rows[done] = padded[span->before + i];
    }
    for (; done < plan.in.count; ++done) rows[done] = 0;
  }
}

// Rows gathered of a column times its scales.
static void scale_rows(const Plan& plan, const Spans& spans, const vw_weight& weight, int source,
                       float* padded) {
  const int width = ceil_div(spans.channels(), kLanes) * kLanes;
  for (const vw_span* span = spans.first; span < spans.end; ++span)
    for (int c = 0; c < span->count; c += kBlock) {
      const float scale = scale_of(weight, source, span->first + c);
      const int count = least(kBlock, span->count - c);
      for (int o = 0; o < plan.out.count; ++o)
        for (int i = 0; i < count; ++i) padded[ptrdiff_t(o) * width + span->before + c + i] *= scale;
    }
}

// The gate's gradient of a column from that of its weight, gathered. gate: of the column.
static void gate_of_rows(const Plan& plan, const Spans& spans, const float* rows,
                         const float* padded, ptrdiff_t gate_block, float* gate) {
  const int width = ceil_div(spans.channels(), kLanes) * kLanes;
  for (const vw_span* span = spans.first; span < spans.end; ++span)
    for (int c = 0; c < span->count; c += kBlock) {
      const int count = least(kBlock, span->count - c);
      float sum = 0;
      for (int o = 0; o < plan.out.count; ++o) {
        const float* const u = rows + ptrdiff_t(o) * plan.in.count + span->first + c;
        const float* const du = padded + ptrdiff_t(o) * width + span->before + c;
        for (int i = 0; i < count; ++i) sum += u[i] * du[i];
      }
      gate[(span->first + c) / kBlock * gate_block] += sum;
    }
}

// Gradients asked for; those that are not are null.
struct Asked {
  const vw_weight* u;
  float* dx;
  const vw_weight* du;
  float* gate;  // of each kept column: the sum of gradient times weight; zeros before, with spans
};

// The products of one slot whose column is kept for some channels, as slot_gradients. padded: memory
// as there, and for the numbers of vectors.
static void spans_gradients(const Plan& plan, const Asked& asked, int source, int tiles, bool begun,
                           bool last, const float* v, const float* dm, float* dv, float* padded) {
  const Spans spans = spans_of(plan, source);
  const Channels kept{spans.channels(), ceil_div(spans.channels(), kLanes)};
  const ptrdiff_t row = kept.vectors * kLanes, step = tiles * plan.row;
  // Beside the memory of columns: which of V's vectors are kept.
  int16_t* const vectors =
      reinterpret_cast<int16_t*>(padded + 2 * ptrdiff_t(plan.out.count) * plan.in.vectors * kLanes);
  int count = 0;
  for (const vw_span* span = spans.first; span < spans.end; ++span)
    for (int c = 0; c < span->count; c += kLanes)
      vectors[count++] = int16_t((span->first + c) / kLanes);
  const Listed places{vectors, step};
  float* const u = asked.u ? asked.u->values + column_of(*asked.u, source) : nullptr;
  if (asked.dx) {
    gather_rows(plan, spans, u, padded);
    scale_rows(plan, spans, *asked.u, source, padded);
    gemm_plain(plan, tiles, dm, {padded, row, 1.0f}, kept, places, dv);
    for (int vector = 0, next = 0; vector < plan.in.vectors; ++vector)
      if (next < count && vectors[next] == vector)
        ++next;
      else
        for (int t = 0; t < tiles; ++t) store(dv + vector * step + t * plan.row, zeros());
  }
  if (!asked.du) return;
  float* const du = asked.du->values + column_of(*asked.du, source);
  float* const sums = padded + plan.out.count * plan.in.vectors * kLanes;
  if (begun) gather_rows(plan, spans, du, sums);
  const Gradient gradient{sums, row, begun, last, false, 1.0f, nullptr};
  gemm_gradient(plan, tiles, v, dm, gradient, kept, places);
  if (last && asked.gate)
    gate_of_rows(plan, spans, u, sums, asked.du->scale_block, asked.gate + source);
  if (last) scale_rows(plan, spans, *asked.du, source, sums);
  scatter_rows(plan, spans, sums, du);
}

// The products of one slot. v, dm, dv: its first tile; padded: memory for two columns of the weight
// in rows of whole vectors, or null where C_in is whole and columns are kept for all channels.
static void slot_gradients(const Plan& plan, const Asked& asked, int slot, int tiles, bool begun,
                           bool last, bool streamed, const float* v, const float* dm, float* dv,
                           float* padded) {
  const int source = plan.source[slot];
  if (plan.spans)
    return spans_gradients(plan, asked, source, tiles, begun, last, v, dm, dv, padded);
  const Stepped places{tiles * plan.row};
  const ptrdiff_t row = padded ? plan.in.vectors * kLanes : plan.in.count;
  float* const u = asked.u ? asked.u->values + column_of(*asked.u, source) : nullptr;
  float* const wide_u = padded, *const wide_du = padded ? padded + plan.out.count * row : nullptr;
  if (padded && u) pad_rows(plan, u, wide_u);
  if (asked.dx)
    gemm_plain(plan, tiles, dm, {padded ? wide_u : u, row, scale_of(*asked.u, source, 0)}, plan.in,
               places, dv);
  if (!asked.du) return;
  float* const du = asked.du->values + column_of(*asked.du, source);
  if (padded && begun) pad_rows(plan, du, wide_du);
  const Gradient gradient{padded ? wide_du : du,
                          row,
                          begun,
                          last,
                          streamed && last && !begun && !padded,
                          scale_of(*asked.du, source, 0),
                          asked.gate ? (padded ? wide_u : u) : nullptr};
  const float weighted = gemm_gradient(plan, tiles, v, dm, gradient, plan.in, places);
  if (padded) unpad_rows(plan, wide_du, du);
  if (asked.gate && last) asked.gate[source] = weighted;
}

// Of one phase of the clip. begun: whether dx has other phases' gradients already.
static int backward(const Plan& plan, const float* x, const float* dy, const Asked& asked,
                    bool begun) {
  float* const dx = asked.dx;
  const int64_t v_tile = asked.du ? tile_size(plan, plan.in) : 0;
  const int64_t dm_tile = tile_size(plan, plan.out);
  const int64_t dv_tile = dx ? tile_size(plan, plan.in) : 0;
  const int64_t per_tile = v_tile + dm_tile + dv_tile;
  const Schedule s = make_schedule(plan, true, 4 * per_tile);
  const int64_t tiles = int64_t(s.columns) * s.depths;
  float* const v = workspace.take(sizeof(float) * per_tile * tiles);
  if (!v) return 1;
  float* const dm = v + v_tile * tiles;
  float* const dv = dm + dm_tile * tiles;
  const int inputs = input_items(plan);
  const int outputs = ceil_div(plan.out.vectors, kTogether);
  const int blocks = s.column_blocks * s.depth_blocks;
  const Colours colour = colours(plan);
  const bool whole = plan.in.count % kLanes == 0 && !plan.spans;
  const size_t column = sizeof(float) * plan.out.count * plan.in.vectors * kLanes;
  const bool streamed =
      asked.du && asked.du->column % kLanes == 0 &&
      is_streamed(asked.du->values, int64_t(plan.slots) * plan.in.count * plan.out.count);
  int failed = 0;
#pragma omp parallel num_threads(plan.threads)
  {
    Scratch& mine = scratch;
    float* const padded =
        whole ? nullptr : products.take(2 * column + sizeof(int16_t) * plan.in.vectors);
    if (!whole && !padded) {
#pragma omp atomic write
      failed = 1;
    }
    if (dx && !begun)
      fill_zero(dx, int64_t(plan.batch) * plan.in.count * plan.d.input * plan.h.input * plan.w.input);
#pragma omp barrier
    for (int index = 0; index < blocks && !failed; ++index) {
      const Block block = block_at(plan, s, index);
      const int count = block.count * block.depths;
#pragma omp for schedule(static) nowait
      for (int item = 0; item < block.count * outputs; ++item)
        spread_result(plan, block, dy, block.first + item / outputs, item % outputs * kTogether,
                      dm, mine);
      if (asked.du) {
#pragma omp for schedule(static) nowait
        for (int item = 0; item < block.count * inputs; ++item)
          transform_input(plan, block, x, block.first + item / inputs, item % inputs, v, mine);
      }
#pragma omp barrier
#pragma omp for schedule(static)
      for (int slot = 0; slot < plan.slots; ++slot) {
        const ptrdiff_t at = ptrdiff_t(slot) * kLanes;
        slot_gradients(plan, asked, slot, count, index > 0, index + 1 == blocks, streamed, v + at,
                       dm + at, dv + at, padded);
      }
      if (!dx) continue;
      for (int turn = 0; turn < colour.h * colour.w; ++turn) {
#pragma omp for schedule(static)
        for (int item = 0; item < block.count * plan.in.vectors; ++item) {
          const int column = block.first + item / plan.in.vectors;
          const Column at = column_at(plan, column);
          if (at.h % colour.h * colour.w + at.w % colour.w == turn)
            collect_clip(plan, block, dv, column, item % plan.in.vectors, dx, mine);
        }
      }
    }
    settle();
  }
  return failed;
}

}  // namespace VW_ISA
