// How tiles are cut into blocks, who works on them, and the memory between the steps.
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#include "volume.h"

namespace VW_ISA {

// Caches that blocks are cut for: what a core has to itself in most machines of the last years, and
// the part of the shared one that a block may take. V and M of a private block stay in the former;
// those of a team's block go through the latter.
constexpr int64_t kPrivateBytes = 1200 << 10;
constexpr int64_t kTeamBytes = 24 << 20;
// M of one thread of a team, and where the weight is larger than the shared cache.
constexpr int64_t kProductBytes = 900 << 10;
constexpr int64_t kFarProductBytes = 4 << 20;
constexpr int64_t kFarWeight = 24 << 20;
// A weight beyond this is read from far away: once a block of the team, not once a private block.
constexpr int64_t kTeamWeight = 8 << 20;
constexpr int64_t kSharedWeight = 3 << 20;
// Results beyond this are written past the caches.
constexpr int64_t kStreamed = 4 << 20;
constexpr int64_t kPhasesTeamWeight = 60 << 20;  // with strides
constexpr int kLeastTiles = 12;                  // two GEMM tiles of rows
constexpr int kLeastPhasesTiles = 36;            // with strides
// Of a single vector of channels to sum over: results are then written almost as fast as memory
// takes them, and larger blocks push them out of the cache in between.
constexpr int kMostThinTiles = 24;
constexpr int kMostDepths = 16;

struct Schedule {
  int depths;   // depths of a block
  int columns;  // tile columns of a block
  int depth_blocks, column_blocks;
  bool team;
};

// per_tile: bytes that one tile takes between the steps.
static Schedule make_schedule(const Plan& plan, bool team, int64_t per_tile) {
  Schedule s{};
  s.team = team;
  const int all_columns = plan.batch * plan.h.tiles * plan.w.tiles;
  int64_t tiles = plan.tiles;
  if (tiles <= 0) tiles = (team ? kTeamBytes : kPrivateBytes) / per_tile;
  if (plan.tiles <= 0) {
    const int at_least = plan.phases > 1 && !team ? kLeastPhasesTiles : kLeastTiles;
    if (tiles < at_least) tiles = at_least;
    if (plan.in.vectors * plan.phases == 1 && tiles > kMostThinTiles) tiles = kMostThinTiles;
  }
  s.depths = least(plan.d.tiles, tiles < kMostDepths ? int(tiles) : kMostDepths);
  s.depth_blocks = ceil_div(plan.d.tiles, s.depths);
  s.depths = ceil_div(plan.d.tiles, s.depth_blocks);
  int64_t columns = tiles / s.depths;
  if (columns < 1) columns = 1;
  if (columns > all_columns) columns = all_columns;
  s.column_blocks = ceil_div(all_columns, int(columns));
  if (!team && plan.threads > 1) {
    // A whole number of rounds, so that no thread waits for the last block of another.
    const int rounds = ceil_div(s.column_blocks * s.depth_blocks, plan.threads);
    s.column_blocks = most(1, least(all_columns, rounds * plan.threads / s.depth_blocks));
  }
  s.columns = ceil_div(all_columns, s.column_blocks);
  s.column_blocks = ceil_div(all_columns, s.columns);
  return s;
}

static inline Block block_at(const Plan& plan, const Schedule& s, int index) {
  Block block;
  block.depth = index % s.depth_blocks * s.depths;
  block.depths = least(s.depths, plan.d.tiles - block.depth);
  block.first = index / s.depth_blocks * s.columns;
  block.count = least(s.columns, plan.batch * plan.h.tiles * plan.w.tiles - block.first);
  return block;
}

// Floats that one tile's kept slots take, over the channels of one side.
static inline int64_t tile_size(const Plan& plan, const Channels& side) {
  return int64_t(plan.row) * side.vectors;
}

// Floats of one tile's V.
static inline int64_t input_tile(const Plan& plan) {
  return plan.phases * tile_size(plan, plan.in);
}

// Values of the packed weight.
static inline int64_t weight_size(const Plan& plan) {
  return rows_before(plan, plan.slots) * plan.out.vectors * kLanes;
}

// Scales of a weight in sixteen bits, before it: floats, a whole number of cache lines.
static inline ptrdiff_t scales_of(const Plan& plan) {
  return plan.narrow ? ceil_div(plan.slots, kCacheLine) * kCacheLine : 0;
}

static inline int64_t weight_bytes(const Plan& plan) {
  return 4 * scales_of(plan) + (plan.narrow ? 2 : 4) * weight_size(plan);
}

// Whether so many floats are written past the caches: large results leave the shared cache before
// they are read again, and their lines need not be read from memory first to be written.
static inline bool is_streamed(const float* to, int64_t floats) {
  return 4 * floats > kStreamed && reinterpret_cast<uintptr_t>(to) % sizeof(vec) == 0;
}

// A workspace that a thread keeps: fresh pages cost more than the arithmetic on them.
struct Workspace {
  float* data = nullptr;
  size_t size = 0;

#ifdef VW_CHECKED
  // For memory checkers: fresh at each call, and not a cache line longer than asked for.
  float* take(size_t bytes) {
    release();
    size = (bytes + 63) & ~size_t(63);
    return data = static_cast<float*>(aligned_alloc(64, size));
  }

  void release() {
    free(data);
    data = nullptr;
    size = 0;
  }
#else
  float* take(size_t bytes) {
    constexpr size_t page = 2 << 20;
    if (bytes <= size) return data;
    release();
    bytes = (bytes + page - 1) & ~(page - 1);
    void* got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
    madvise(got, bytes, MADV_HUGEPAGE);
#endif
    data = static_cast<float*>(got);
    size = bytes;
    return data;
  }

  void release() {
    if (data) munmap(data, size);
    data = nullptr;
    size = 0;
  }
#endif

  ~Workspace() { release(); }
};

static thread_local Workspace workspace;  // shared by a team, or a thread's own
static thread_local Workspace products;   // M of a thread of a team
static thread_local Scratch scratch;

}  // namespace VW_ISA
