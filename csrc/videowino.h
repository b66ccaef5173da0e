/* The C interface of the CPU kernels; called from videowino/kernels/cpu.py through ctypes. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VW_API __attribute__((visibility("default")))

enum { VW_MAX_PAIRS = 3, VW_MOST_RANK = 101 };

/* One axis of the convolution: depth, height or width. */
typedef struct {
  int32_t input;                /* samples of the clip */
  int32_t output;               /* samples of the result */
  int32_t padding;              /* zeros before the first sample */
  int32_t m;                    /* outputs a tile */
  int32_t taps;                 /* filter taps */
  int32_t stride;               /* 1 or 2 */
  float points[VW_MAX_PAIRS];   /* the positive one of each pair of interpolation points, for
                                   ceil(taps / stride) taps */
} vw_axis;

/* Neighbouring input channels that a column is kept for. */
typedef struct {
  int32_t first, count;         /* first: a multiple of 16; count: too, unless it is the last channels */
  int32_t before;               /* channels of the column's spans before this one */
} vw_span;

typedef struct {
  int32_t batch, in_channels, out_channels;
  vw_axis axis[3];
  int32_t x_channels_last, y_channels_last; /* N D H W C, else N C D H W */
  int32_t columns;                          /* kept ones */
  const int32_t* column;                    /* their positions, depth slowest, width fastest; along
                                               an axis with a stride those of the first tap's class
                                               (taps 0, s, ...) before those of the next, each class
                                               m + taps - 1 */
  const int32_t* spans;                     /* kept column i has the spans from number spans[i] up to
                                               spans[i + 1], at least one; null: all have all channels */
  const vw_span* span;
  int32_t threads;
  int32_t tiles;                            /* a block holds about so many; 0: chosen here */
  int32_t team;                             /* 1: threads share blocks; 0: each its own; -1: chosen */
  int32_t weight_bits;                      /* of the packed weight: 32 or 16 */
} vw_problem;

typedef struct {
  const float* bias;      /* C_out, or null */
  const float* residual;  /* as y, or null; added after the bias */
  int32_t relu;
  int32_t pool[3];        /* 2 along an axis whose m is even: of two samples the larger; else 1 or 0.
                             y is then smaller, and there is no residual */
  int32_t pool_ceil;      /* whether a last sample without a partner counts, else it is left out */
} vw_epilogue;

/* Bytes of the packed weight. */
VW_API int64_t vw_packed_bytes(const vw_problem* problem);

/* A weight in the order of parameters, or its gradient. Kept column i of the problem is column
   place[i] of it, or i where place is null; strides are in floats. */
typedef struct {
  float* values;
  int64_t column, out, in;
  const int32_t* place;
  const float* scale; /* of each kept column, or null: applied is a column times its scale */
  int64_t scale_block; /* from the scales of sixteen input channels to the next ones'; 0: shared */
} vw_weight;

/* To the layout that vw_forward reads, times the scale; always in 32 bits. */
VW_API void vw_pack(const vw_problem* problem, const vw_weight* u, float* packed);

/* What a weight is made of: U[column] = sum of rows[column][term] times part `term`. The parts are
   the taps of a filter (C_out, C_in, taps) and then the columns of left (C_out * C_in, rank). */
typedef struct {
  const float* rows;    /* kept columns x (taps + rank) */
  int64_t rows_block;   /* from the rows of sixteen input channels to the next ones'; 0: shared */
  const float* scale;   /* of each kept column, or null */
  const float* spatial;
  int32_t taps;         /* 0 without spatial, at most 27 */
  const float* left;
  int32_t rank;         /* 0 without left, at most VW_MOST_RANK */
} vw_factors;

/* As vw_pack, for columns that have all channels and share rows; 0, or 1 where memory is lacking. */
VW_API int vw_pack_factors(const vw_problem* problem, const vw_factors* factors, float* packed);

/* U without the scale, (kept columns, C_out, C_in); of all channels. */
VW_API void vw_expand(const vw_problem* problem, const vw_factors* factors, float* u);

/* Gradients of spatial and left (each may be null) from U's, laid out as vw_expand's. */
VW_API void vw_contract(const vw_problem* problem, const vw_factors* factors, const float* du,
                        float* dspatial, float* dleft);

/* From 32 to 16 bits: whole numbers with a scale for each column. */
VW_API void vw_narrow(const vw_problem* problem, const float* packed, void* narrow);

/* 0, or 1 where memory for the workspace is lacking. */
VW_API int vw_forward(const vw_problem* problem, const float* x, const void* packed,
                      const vw_epilogue* epilogue, float* y);

/* Memory that is looked at to see whether it is as it was: `value` is vw_fingerprint's. */
typedef struct {
  const void* data;
  int64_t bytes, step;
  uint64_t value;
} vw_watch;

/* A forward pass with everything settled but the clip. */
typedef struct {
  vw_problem problem;
  const void* packed;
  vw_epilogue epilogue;
  const vw_watch* watched;
  int32_t count;
} vw_call;

enum { VW_CHANGED = 2 };

/* As vw_forward; VW_CHANGED, and nothing computed, where watched memory is not as it was. residual: in
   place of the epilogue's. */
VW_API int vw_run(const vw_call* call, const float* x, const float* residual, float* y);

/* One axis of a max pooling. */
typedef struct {
  int32_t input, output; /* samples of the clip and of the result */
  int32_t window, stride;
  int32_t padding;       /* samples before the first */
} vw_pool_axis;

typedef struct {
  int32_t batch, channels;
  vw_pool_axis axis[3];
  float fill;            /* of the samples around the clip: -infinity where they do not count */
  int32_t threads;
} vw_pool;

/* Both N D H W C; NaN counts as the largest. */
VW_API void vw_max_pool(const vw_pool* pool, const float* x, float* y);

/* The instruction set in use: "avx512", "avx2", "baseline". */
VW_API const char* vw_isa(void);

/* Gradients of what vw_forward computed from u; each is null where it is not asked for. u, and du
   beside it, have an in stride of 1 and an out stride of C_in. 0, or 1 where memory is lacking.
   u: needed for dx and gate.  dx: as x.  du: times the scale; columns that are not kept stay as they
   are, channels that a kept one is not kept for become 0.  gate: of each kept column, the sum of u
   times its gradient before the scale, laid out as the scale is; with du. Scales by sixteen channels
   want spans. */
VW_API int vw_backward(const vw_problem* problem, const float* x, const float* dy,
                       const vw_weight* u, float* dx, const vw_weight* du, float* gate);

/* A number that changes with the values: every `step`-th 32-bit word is looked at, and the rest
   behind the last whole word. */
VW_API uint64_t vw_fingerprint(const void* data, int64_t bytes, int64_t step);

/* Gives the workspace of this thread's team back to the system. */
VW_API void vw_release(int threads);

/* Fused multiply-adds a second, times two, that `threads` threads reach in registers alone. */
VW_API double vw_peak(int threads);

/* Threads that a parallel region gets when asked for so many. */
VW_API int vw_threads(int wanted);

#ifdef __cplusplus
}
#endif
