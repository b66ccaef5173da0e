// All kernels for one instruction set. Compiled once for each, see CMakeLists.txt.
#include "kernels.h"

#include "backward.h"
#include "factors.h"
#include "forward.h"
#include "max_pool.h"
#include "pack.h"
#include "peak.h"

namespace VW_ISA {

static int64_t packed_bytes(const vw_problem& problem) {
  Plan plan;
  make_plan(problem, plan);
  return weight_bytes(plan);
}

static void pack(const vw_problem& problem, const vw_weight& u, float* packed) {
  Plan plan;
  make_plan(problem, plan);
  pack(plan, u, packed);
}

static int pack_factors(const vw_problem& problem, const vw_factors& factors, float* packed) {
  Plan plan;
  make_plan(problem, plan);
  return pack_factors(plan, factors, packed);
}

static void expand(const vw_problem& problem, const vw_factors& factors, float* u) {
  Plan plan;
  make_plan(problem, plan);
  expand(plan, factors, u);
}

static void contract(const vw_problem& problem, const vw_factors& factors, const float* du,
                     float* dspatial, float* dleft) {
  Plan plan;
  make_plan(problem, plan);
  contract(plan, factors, du, dspatial, dleft);
}

static void narrow(const vw_problem& problem, const float* packed, void* to) {
  Plan plan;
  make_plan(problem, plan);
  narrow(plan, packed, to);
}

static int forward(const vw_problem& problem, const float* x, const void* packed,
                   const vw_epilogue& epilogue, float* y) {
  Plan plan;
  make_plan(problem, plan);
  return forward(plan, x, packed, epilogue, y);
}

static int backward(const vw_problem& problem, const float* x, const float* dy, const vw_weight* u,
                    float* dx, const vw_weight* du, float* gate) {
  for (int phase = 0; phase < phases_of(problem); ++phase) {
    Plan plan;
    make_plan(problem, plan, phase);
    if (backward(plan, x, dy, Asked{u, dx, du, gate}, phase > 0)) return 1;
  }
  return 0;
}

static void pool(const vw_pool& given, const float* x, float* y) { max_pool(given, x, y); }

static void release(int threads) {
#pragma omp parallel num_threads(threads)
  {
    gathered.release();
    workspace.release();
    products.release();
  }
}

#define VW_TEXT(name) #name
#define VW_NAME(name) VW_TEXT(name)
extern const Kernels kernels = {
    VW_NAME(VW_ISA), packed_bytes, pack,     pack_factors, expand, contract,
    narrow,          forward,      backward, pool,         release, peak,
};

}  // namespace VW_ISA
