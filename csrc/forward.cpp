// The forward pass for one instruction set. Compiled once for each, see CMakeLists.txt.
//
// A block of tiles goes through input transform, products and output transform while what lies
// between them, V and M, stays in cache. Either each thread takes blocks of its own (private), or
// all threads share one large block and meet between the three steps (team), so that a weight that
// does not fit into cache is read once and not once a block.
#include <omp.h>
#include <sys/mman.h>

#include "gemm.h"
#include "kernels.h"
#include "transforms.h"

namespace VW_ISA {

static void pack(const Plan& plan, const float* u, int64_t column_step, int64_t out_step,
                 int64_t in_step, float* packed) {
#pragma omp parallel for schedule(static) num_threads(plan.threads)
  for (int slot = 0; slot < plan.slots; ++slot) {
    const float* from = u + plan.source[slot] * column_step;
    float* to = packed + int64_t(slot) * plan.in_channels * plan.out_vectors * kLanes;
    for (int group = 0; group < plan.groups; ++group) {
      const int first = group_start(plan, group) * kLanes;
      const int width = group_vectors(plan, group) * kLanes;
      for (int c = 0; c < plan.in_channels; ++c)
        for (int o = first; o < first + width; ++o)
          *to++ = o < plan.out_channels ? from[o * out_step + c * in_step] : 0.0f;
    }
  }
}

struct Caches {
  int64_t l2 = 1 << 20, l3 = 32 << 20;
};

struct Schedule {
  int depths;        // depths of a block
  int columns;       // tile columns of a block
  int depth_blocks, column_blocks;
  bool team;
};

static Schedule make_schedule(const Plan& plan) {
  Schedule s{};
  const int all_columns = plan.batch * plan.h.tiles * plan.w.tiles;
  const int64_t per_tile =
      int64_t(plan.slots) * (plan.in_vectors + plan.out_vectors) * kLanes * 4;
  const int64_t weight = int64_t(plan.slots) * plan.in_channels * plan.out_vectors * kLanes * 4;
  s.team = plan.team < 0 ? weight > (8 << 20) : plan.team;
  int64_t tiles = plan.tiles;
  if (tiles <= 0) {
    const int64_t room = s.team ? (40 << 20) : (1200 << 10);
    tiles = room / per_tile;
    const int64_t least_tiles = 12;
    if (tiles < least_tiles) tiles = least_tiles;
  }
  s.depths = least(plan.d.tiles, tiles < 16 ? int(tiles) : 16);
  s.depth_blocks = ceil_div(plan.d.tiles, s.depths);
  s.depths = ceil_div(plan.d.tiles, s.depth_blocks);
  int64_t columns = tiles / s.depths;
  if (columns < 1) columns = 1;
  if (columns > all_columns) columns = all_columns;
  s.column_blocks = ceil_div(all_columns, int(columns));
  if (!s.team && plan.threads > 1) {
    // A whole number of rounds, so that no thread waits for the last block of another.
    const int blocks = s.column_blocks * s.depth_blocks;
    const int rounds = ceil_div(blocks, plan.threads);
    s.column_blocks = most(1, least(all_columns, rounds * plan.threads / s.depth_blocks));
  }
  s.columns = ceil_div(all_columns, s.column_blocks);
  s.column_blocks = ceil_div(all_columns, s.columns);
  return s;
}

// A workspace that a thread keeps: fresh pages cost more than the arithmetic on them.
struct Workspace {
  float* data = nullptr;
  size_t size = 0;
  float* take(size_t bytes) {
    if (bytes > size) {
      release();
      bytes = (bytes + (2 << 20) - 1) & ~size_t((2 << 20) - 1);
      void* got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (got == MAP_FAILED) return nullptr;
      madvise(got, bytes, MADV_HUGEPAGE);
      data = static_cast<float*>(got);
      size = bytes;
    }
    return data;
  }
  void release() {
    if (data) munmap(data, size);
    data = nullptr;
    size = 0;
  }
  ~Workspace() { release(); }
};

static thread_local Workspace workspace;
static thread_local Scratch scratch;

static Block block_at(const Plan& plan, const Schedule& s, int index) {
  Block block;
  block.depth = index % s.depth_blocks * s.depths;
  block.depths = least(s.depths, plan.d.tiles - block.depth);
  block.first = index / s.depth_blocks * s.columns;
  block.count = least(s.columns, plan.batch * plan.h.tiles * plan.w.tiles - block.first);
  return block;
}

// Floats of V and of M.
static size_t v_size(const Plan& plan, const Schedule& s) {
  return size_t(plan.row) * plan.in_vectors * s.columns * s.depths;
}

static size_t m_size(const Plan& plan, const Schedule& s) {
  return size_t(plan.row) * plan.out_vectors * s.columns * s.depths;
}

static int forward(const Plan& plan, const float* x, const float* packed,
                   const vw_epilogue& epilogue, float* y) {
  const Schedule s = make_schedule(plan);
  const size_t bytes = (v_size(plan, s) + m_size(plan, s)) * sizeof(float);
  const ptrdiff_t u_slot = ptrdiff_t(plan.in_channels) * plan.out_vectors * kLanes;
  const int blocks = s.column_blocks * s.depth_blocks;
  const int inputs = ceil_div(plan.in_vectors, kTogether);
  const int outputs = ceil_div(plan.out_vectors, kTogether);
  float* shared = nullptr;
  if (s.team && !(shared = workspace.take(bytes))) return 1;
  int failed = 0;
#pragma omp parallel num_threads(plan.threads)
  {
    Scratch& mine = scratch;
    float* v = s.team ? shared : workspace.take(bytes);
    if (!v) {
#pragma omp atomic write
      failed = 1;
    } else if (s.team) {
      float* m = v + v_size(plan, s);
      for (int index = 0; index < blocks; ++index) {
        const Block block = block_at(plan, s, index);
        const int count = block.count * block.depths;
#pragma omp for schedule(static)
        for (int item = 0; item < block.count * inputs; ++item)
          transform_input(plan, block, x, block.first + item / inputs, item % inputs * kTogether, v,
                          mine);
#pragma omp for schedule(static)
        for (int slot = 0; slot < plan.slots; ++slot)
          for (int group = 0; group < plan.groups; ++group)
            gemm(plan, count, group, v + slot * kLanes, packed + slot * u_slot, m + slot * kLanes);
#pragma omp for schedule(static)
        for (int item = 0; item < block.count * outputs; ++item)
          transform_output(plan, block, m, block.first + item / outputs,
                           item % outputs * kTogether, epilogue, y, mine);
      }
    } else {
      float* m = v + v_size(plan, s);
#pragma omp for schedule(dynamic, 1)
      for (int index = 0; index < blocks; ++index) {
        const Block block = block_at(plan, s, index);
        const int count = block.count * block.depths;
        for (int column = 0; column < block.count; ++column)
          for (int vector = 0; vector < plan.in_vectors; vector += kTogether)
            transform_input(plan, block, x, block.first + column, vector, v, mine);
        for (int slot = 0; slot < plan.slots; ++slot)
          for (int group = 0; group < plan.groups; ++group)
            gemm(plan, count, group, v + slot * kLanes, packed + slot * u_slot, m + slot * kLanes);
        for (int column = 0; column < block.count; ++column)
          for (int vector = 0; vector < plan.out_vectors; vector += kTogether)
            transform_output(plan, block, m, block.first + column, vector, epilogue, y, mine);
      }
    }
  }
  return failed;
}

static int64_t packed_size_of(const vw_problem& problem) {
  Plan plan;
  make_plan(problem, plan);
  return int64_t(plan.slots) * plan.in_channels * plan.out_vectors * kLanes;
}

static void pack_for(const vw_problem& problem, const float* u, int64_t column_stride,
                     int64_t out_stride, int64_t in_stride, float* packed) {
  Plan plan;
  make_plan(problem, plan);
  pack(plan, u, column_stride, out_stride, in_stride, packed);
}

static int forward_for(const vw_problem& problem, const float* x, const float* packed,
                       const vw_epilogue& epilogue, float* y) {
  Plan plan;
  make_plan(problem, plan);
  return forward(plan, x, packed, epilogue, y);
}

static int64_t workspace_of(const vw_problem& problem) {
  Plan plan;
  make_plan(problem, plan);
  const Schedule s = make_schedule(plan);
  return int64_t(v_size(plan, s) + m_size(plan, s)) * 4 * (s.team ? 1 : plan.threads);
}

static void release(int threads) {
#pragma omp parallel num_threads(threads)
  workspace.release();
}

static double peak(int threads) {
  constexpr int chains = 12, rounds = 2000000;
  double start = 0, stop = 0;
#pragma omp parallel num_threads(threads)
  {
    vec sum[chains];
    for (int i = 0; i < chains; ++i) sum[i] = zeros() + float(i);
    volatile float half = 0.5f;
#pragma omp barrier
#pragma omp master
    start = omp_get_wtime();
    const vec factor = zeros() + half, term = zeros() + half;  // known only after the clock
    for (int round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < chains; ++i) sum[i] = sum[i] * factor + term;
    }
    for (int i = 1; i < chains; ++i) sum[0] += sum[i];
    float lanes[kLanes];
    store(lanes, sum[0]);
    float total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += lanes[lane] * float(lane);
    volatile float kept = total;  // or the compiler drops what nobody reads
    (void)kept;
#pragma omp barrier
#pragma omp master
    stop = omp_get_wtime();
  }
  return 2.0 * chains * kLanes * rounds * threads / (stop - start);
}

#define VW_TEXT(name) #name
#define VW_NAME(name) VW_TEXT(name)
extern const Kernels kernels = {VW_NAME(VW_ISA), packed_size_of, pack_for, forward_for,
                                workspace_of,     release,        peak};

}  // namespace VW_ISA
