// What each instruction set provides; dispatch.cpp chooses among them when the library is loaded.
#pragma once

#include "videowino.h"

// As the functions of videowino.h.
struct Kernels {
  const char* name;
  int64_t (*packed_bytes)(const vw_problem&);
  void (*pack)(const vw_problem&, const vw_weight& u, float* packed);
  int (*pack_factors)(const vw_problem&, const vw_factors&, float* packed);
  void (*expand)(const vw_problem&, const vw_factors&, float* u);
  void (*contract)(const vw_problem&, const vw_factors&, const float* du, float* dspatial,
                   float* dleft);
  void (*narrow)(const vw_problem&, const float* packed, void* narrow);
  int (*forward)(const vw_problem&, const float* x, const void* packed, const vw_epilogue&,
                 float* y);
  int (*backward)(const vw_problem&, const float* x, const float* dy, const vw_weight* u, float* dx,
                  const vw_weight* du, float* gate);
  void (*max_pool)(const vw_pool&, const float* x, float* y);
  void (*release)(int threads);
  double (*peak)(int threads);
};
