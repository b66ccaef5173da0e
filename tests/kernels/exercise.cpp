// Runs the kernels on random odd problems, by themselves, for sanitizers and memory checkers: every
// buffer is as long as it must be and not a float longer, and what is not to be read is not written.
//
// exercise SEED COUNT: prints what it did, returns 1 where a result is wrong. The convolution is
// linear in the clip and in the weight, so <dy, y> = <x, dx> = <u, du> must hold whatever U is.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "videowino.h"

namespace {

std::mt19937 generator;

int pick(std::initializer_list<int> from) {
  return from.begin()[std::uniform_int_distribution<size_t>(0, from.size() - 1)(generator)];
}

int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

std::vector<float> random_floats(size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double(a[i]) * b[i];
  return sum;
}

double norm(const std::vector<float>& a) { return std::sqrt(dot(a, a)); }

bool close(const char* what, double a, double b, double scale) {
  if (std::abs(a - b) <= 1e-3 * scale) return true;
  std::printf("  %s: %g and %g, of %g\n", what, a, b, scale);
  return false;
}

// Positions of an axis: for each first tap those of the taps a stride apart.
int positions_of(const vw_axis& axis) {
  int positions = 0;
  for (int tap = 0; tap < std::min(axis.taps, axis.stride); ++tap)
    positions += axis.m + (axis.taps - tap + axis.stride - 1) / axis.stride - 1;
  return positions;
}

// For each column some of the blocks of sixteen channels, neighbours in one span.
void keep_some(const vw_problem& p, std::vector<int32_t>& spans, std::vector<vw_span>& span) {
  spans.push_back(0);
  for (int column = 0; column < p.columns; ++column) {
    const size_t begun = span.size();
    int before = 0;
    for (int first = 0; first < p.in_channels; first += 16) {
      const bool rest = first + 16 >= p.in_channels;
      if (between(0, 1) && !(rest && !before)) continue;
      const int count = std::min(16, p.in_channels - first);
      if (span.size() > begun && span.back().first + span.back().count == first)
        span.back().count += count;
      else
        span.push_back({first, count, before});
      before += count;
    }
    spans.push_back(int32_t(span.size()));
  }
}

// The same weight packed from factors and from U; gradients of the factors.
bool exercise_factors(const vw_problem& p, const std::vector<float>& scale) {
  const size_t channels = size_t(p.in_channels) * p.out_channels, columns = size_t(p.columns);
  const int taps = pick({0, 4, 27}), rank = taps ? pick({0, 1, 8, 20}) : pick({1, 40});
  const std::vector<float> rows = random_floats(columns * (taps + rank));
  const std::vector<float> spatial = random_floats(channels * taps),
                           left = random_floats(channels * rank);
  const vw_factors factors{rows.data(), 0, scale.data(), taps ? spatial.data() : nullptr, taps,
                           rank ? left.data() : nullptr, rank};
  std::vector<float> u(columns * channels), packed(vw_packed_bytes(&p) / 4), again(packed.size());
  vw_expand(&p, &factors, u.data());
  const vw_weight weight{u.data(), int64_t(channels), p.in_channels, 1, nullptr, scale.data(), 0};
  vw_pack(&p, &weight, packed.data());
  if (vw_pack_factors(&p, &factors, again.data())) return false;
  double difference = 0;
  for (size_t i = 0; i < packed.size(); ++i) difference += std::pow(double(packed[i]) - again[i], 2);
  bool good = close("packed factors", std::sqrt(difference), 0, norm(packed) + 1e-6);
  const std::vector<float> du = random_floats(u.size());
  std::vector<float> dspatial(spatial.size()), dleft(left.size());
  vw_contract(&p, &factors, du.data(), taps ? dspatial.data() : nullptr,
              rank ? dleft.data() : nullptr);
  good &= close("factors' gradients", dot(spatial, dspatial) + dot(left, dleft), dot(u, du),
                norm(u) * norm(du));
  return good;
}

// Max pooling in the kernel: that of the result without it.
bool exercise_pooling(const vw_problem& p, const std::vector<float>& x,
                      const std::vector<float>& packed, const std::vector<float>& bias,
                      const std::vector<float>& y) {
  vw_epilogue epilogue{bias.data(), nullptr, between(0, 1), {}, between(0, 1)};
  int size[3], pool[3];
  const size_t planes = size_t(p.batch) * p.out_channels;
  size_t out = planes;
  for (int i = 0; i < 3; ++i) {
    epilogue.pool[i] = p.axis[i].m % 2 ? between(0, 1) : pick({0, 1, 2, 2});
    pool[i] = std::max(1, epilogue.pool[i]);
    size[i] = (p.axis[i].output + (epilogue.pool_ceil ? pool[i] - 1 : 0)) / pool[i];
    out *= size[i];
  }
  std::vector<float> expected(out, -INFINITY), found(out);
  for (size_t i = 0; out && i < y.size(); ++i) {
    const size_t places = y.size() / planes;
    const size_t plane = p.y_channels_last ? i / (places * p.out_channels) * p.out_channels +
                                                 i % p.out_channels
                                           : i / places;
    size_t place = p.y_channels_last ? i / p.out_channels % places : i % places, to = 0, at[3];
    for (int axis = 2; axis >= 0; --axis) {
      at[axis] = place % p.axis[axis].output / pool[axis];
      place /= p.axis[axis].output;
    }
    if (at[0] >= size_t(size[0]) || at[1] >= size_t(size[1]) || at[2] >= size_t(size[2])) continue;
    to = (at[0] * size[1] + at[1]) * size[2] + at[2];
    const size_t inside = out / planes, n = plane / p.out_channels, c = plane % p.out_channels;
    to = p.y_channels_last ? (n * inside + to) * p.out_channels + c : plane * inside + to;
    const float value = y[i] + bias[c];
    expected[to] = std::max(expected[to], epilogue.relu ? std::max(0.0f, value) : value);
  }
  if (vw_forward(&p, x.data(), packed.data(), &epilogue, found.data())) return false;
  double difference = 0;
  for (size_t i = 0; i < out; ++i) difference += std::pow(double(found[i]) - expected[i], 2);
  return close("pooling", std::sqrt(difference), 0, norm(y) + norm(bias));
}

bool exercise() {
  vw_problem p{};
  p.batch = between(1, 2);
  p.in_channels = pick({1, 3, 8, 16, 17, 33, 64, 80});
  p.out_channels = pick({1, 5, 16, 17, 48, 64, 70, 130});
  size_t in = size_t(p.batch) * p.in_channels, out = size_t(p.batch) * p.out_channels;
  int positions = 1;
  const float points[] = {1.0f, 0.5f, 2.0f};
  for (vw_axis& axis : p.axis) {
    axis.m = pick({1, 2, 3, 4, 5, 6});
    axis.stride = pick({1, 1, 2});
    axis.taps = between(1, (axis.m < 6 ? 4 : 3) * axis.stride);
    axis.padding = between(0, 2);
    axis.input = between(std::max(1, axis.taps - 2 * axis.padding), 11);
    axis.output = (axis.input + 2 * axis.padding - axis.taps) / axis.stride + 1;
    std::copy(points, points + 3, axis.points);
    positions *= positions_of(axis);
    in *= axis.input;
    out *= axis.output;
  }
  std::vector<int32_t> columns;
  const int share = pick({100, 100, 50, 25, 3});
  for (int i = 0; i < positions; ++i)
    if (between(1, 100) <= share) columns.push_back(i);
  if (columns.empty()) columns.push_back(between(0, positions - 1));
  p.x_channels_last = p.y_channels_last = between(0, 1);
  p.columns = int32_t(columns.size());
  p.column = columns.data();
  p.threads = between(1, 2);
  p.tiles = pick({0, 0, 5, 40});
  p.team = pick({-1, 0, 1});
  p.weight_bits = 32;
  std::vector<int32_t> spans;
  std::vector<vw_span> span;
  if (between(0, 1)) {
    keep_some(p, spans, span);
    p.spans = spans.data();
    p.span = span.data();
  }

  const size_t channels = size_t(p.in_channels) * p.out_channels;
  const bool all = between(0, 1);  // whether U has the pruned columns too
  const size_t stored = all ? positions : columns.size();
  const std::vector<float> x = random_floats(in), dy = random_floats(out);
  std::vector<float> u = random_floats(stored * channels);
  const int64_t scale_block = p.spans && between(0, 1) ? p.columns : 0;
  const int blocks = scale_block ? (p.in_channels + 15) / 16 : 1;
  const std::vector<float> scale = random_floats(columns.size() * blocks);
  const vw_weight weight{u.data(), int64_t(channels), p.in_channels, 1,
                         all ? columns.data() : nullptr, scale.data(), scale_block};
  std::vector<float> packed(vw_packed_bytes(&p) / 4), y(out), dx(in), du(u.size()),
      gate(scale.size());
  vw_pack(&p, &weight, packed.data());
  vw_epilogue nothing{};
  if (vw_forward(&p, x.data(), packed.data(), &nothing, y.data())) return false;
  const vw_weight gradient{du.data(), weight.column, weight.out, 1, weight.place, weight.scale,
                           scale_block};
  if (vw_backward(&p, x.data(), dy.data(), &weight, dx.data(), &gradient, gate.data()))
    return false;
  const double size = norm(dy) * norm(y) + norm(x) * norm(dx), product = dot(dy, y);
  bool good = close("clip's gradient", dot(x, dx), product, size);
  good &= close("weight's gradient", dot(u, du), product, size + norm(u) * norm(du));
  good &= close("gate's gradient", dot(scale, gate), product, size + norm(scale) * norm(gate));

  if (!p.spans) good &= exercise_factors(p, scale);

  // Bias, residual, ReLU and sixteen bits.
  const std::vector<float> bias = random_floats(p.out_channels), residual = random_floats(out);
  vw_epilogue epilogue{bias.data(), residual.data(), 1, {}, 0};
  std::vector<float> finished(out), narrow_result(out);
  if (vw_forward(&p, x.data(), packed.data(), &epilogue, finished.data())) return false;
  size_t inside = out / (size_t(p.batch) * p.out_channels);
  for (size_t i = 0; i < out; ++i) {
    const size_t channel =
        p.y_channels_last ? i % p.out_channels : i / inside % p.out_channels;
    const float expected = std::max(0.0f, y[i] + bias[channel] + residual[i]);
    if (std::abs(finished[i] - expected) > 1e-3f * (1 + std::abs(expected))) {
      std::printf("  epilogue: %g, not %g\n", finished[i], expected);
      good = false;
      break;
    }
  }
  good &= exercise_pooling(p, x, packed, bias, y);
  p.weight_bits = 16;
  std::vector<char> narrow(vw_packed_bytes(&p));
  vw_narrow(&p, packed.data(), narrow.data());
  if (vw_forward(&p, x.data(), narrow.data(), &nothing, narrow_result.data())) return false;
  double difference = 0;
  for (size_t i = 0; i < out; ++i) difference += std::pow(double(narrow_result[i]) - y[i], 2);
  good &= close("sixteen bits", std::sqrt(difference), 0, norm(y) + 1e-3);
  if (!good)
    for (const vw_axis& axis : p.axis)
      std::printf("  F(%d, %d / %d) padding %d of %d\n", axis.m, axis.taps, axis.stride,
                  axis.padding, axis.input);
  return good;
}

// With strides: against the convolution by its definition.
bool exercise_strides() {
  vw_problem p{};
  p.batch = between(1, 2);
  p.in_channels = pick({1, 3, 16, 17, 40});
  p.out_channels = pick({1, 5, 16, 70});
  const float points[] = {1.0f, 0.5f, 2.0f};
  // An axis without transforms has the taps themselves as columns, those a stride apart together.
  size_t in = size_t(p.batch) * p.in_channels, out = size_t(p.batch) * p.out_channels;
  int positions = 1;
  for (vw_axis& axis : p.axis) {
    axis.m = 1;
    axis.stride = pick({1, 2});
    axis.taps = between(1, 4);
    axis.padding = between(0, 2);
    axis.input = between(std::max(1, axis.taps - 2 * axis.padding), 9);
    axis.output = (axis.input + 2 * axis.padding - axis.taps) / axis.stride + 1;
    std::copy(points, points + 3, axis.points);
    positions *= axis.taps;
    in *= axis.input;
    out *= axis.output;
  }
  std::vector<int32_t> columns(positions);
  for (int i = 0; i < positions; ++i) columns[i] = i;
  p.columns = positions;
  p.column = columns.data();
  p.x_channels_last = between(0, 1);
  p.y_channels_last = between(0, 1);
  p.threads = between(1, 2);
  p.tiles = pick({0, 5, 40});
  p.team = pick({-1, 0, 1});
  p.weight_bits = 32;
  const std::vector<float> x = random_floats(in);
  const int64_t channels = int64_t(p.in_channels) * p.out_channels;
  const std::vector<float> u = random_floats(positions * channels);
  const vw_weight weight{const_cast<float*>(u.data()), channels, p.in_channels, 1, nullptr, nullptr, 0};
  std::vector<float> packed(vw_packed_bytes(&p) / 4), y(out);
  vw_pack(&p, &weight, packed.data());
  vw_epilogue nothing{};
  if (vw_forward(&p, x.data(), packed.data(), &nothing, y.data())) return false;
  const auto place = [](bool last, int channels, int n, int c, const int* at, const vw_axis* axis,
                        int32_t vw_axis::*size) {
    size_t pixel = 0;
    for (int i = 0; i < 3; ++i) pixel = pixel * (axis[i].*size) + at[i];
    const size_t pixels = size_t(axis[0].*size) * (axis[1].*size) * (axis[2].*size);
    return last ? (n * pixels + pixel) * channels + c : (size_t(n) * channels + c) * pixels + pixel;
  };
  int o[3];
  for (int n = 0; n < p.batch; ++n)
    for (int k = 0; k < p.out_channels; ++k)
      for (o[0] = 0; o[0] < p.axis[0].output; ++o[0])
        for (o[1] = 0; o[1] < p.axis[1].output; ++o[1])
          for (o[2] = 0; o[2] < p.axis[2].output; ++o[2]) {
            double sum = 0, size = 1;
            int t[3];
            for (t[0] = 0; t[0] < p.axis[0].taps; ++t[0])
              for (t[1] = 0; t[1] < p.axis[1].taps; ++t[1])
                for (t[2] = 0; t[2] < p.axis[2].taps; ++t[2]) {
                  int at[3], column = 0;
                  bool inside = true;
                  for (int i = 0; i < 3; ++i) {
                    const vw_axis& axis = p.axis[i];
                    at[i] = o[i] * axis.stride + t[i] - axis.padding;
                    inside = inside && at[i] >= 0 && at[i] < axis.input;
                    int tap = t[i] / axis.stride;
                    if (t[i] % axis.stride) tap += (axis.taps + axis.stride - 1) / axis.stride;
                    column = column * axis.taps + tap;
                  }
                  if (!inside) continue;
                  for (int c = 0; c < p.in_channels; ++c) {
                    const double term =
                        double(x[place(p.x_channels_last, p.in_channels, n, c, at, p.axis,
                                       &vw_axis::input)]) *
                        u[column * channels + size_t(k) * p.in_channels + c];
                    sum += term;
                    size += std::abs(term);
                  }
                }
            const double found =
                y[place(p.y_channels_last, p.out_channels, n, k, o, p.axis, &vw_axis::output)];
            if (!close("with strides", found, sum, size)) return false;
          }
  return true;
}

// Max pooling: against its definition.
bool exercise_max_pool() {
  vw_pool p{};
  p.batch = between(1, 2);
  p.channels = pick({1, 3, 16, 17, 40});
  p.fill = pick({0, 1}) ? -INFINITY : 0.5f;
  p.threads = between(1, 2);
  size_t in = size_t(p.batch) * p.channels, out = in;
  for (vw_pool_axis& axis : p.axis) {
    axis.window = between(1, 4);
    axis.stride = between(1, 3);
    axis.padding = between(0, 2);
    axis.input = between(std::max(1, axis.window - 2 * axis.padding), 8);
    axis.output = (axis.input + 2 * axis.padding - axis.window) / axis.stride + 1;
    in *= axis.input;
    out *= axis.output;
  }
  const std::vector<float> x = random_floats(in);
  std::vector<float> y(out);
  vw_max_pool(&p, x.data(), y.data());
  for (size_t i = 0; i < out; ++i) {
    const vw_pool_axis* a = p.axis;
    size_t rest = i / p.channels;
    int o[3];
    for (int axis = 2; axis >= 0; rest /= a[axis].output, --axis) o[axis] = int(rest % a[axis].output);
    float best = -INFINITY;
    for (int t = 0; t < a[0].window * a[1].window * a[2].window; ++t) {
      const int k[3] = {t / (a[2].window * a[1].window), t / a[2].window % a[1].window,
                        t % a[2].window};
      size_t place = rest;  // the clip's number
      bool inside = true;
      for (int axis = 0; axis < 3; ++axis) {
        const int at = o[axis] * a[axis].stride + k[axis] - a[axis].padding;
        inside = inside && at >= 0 && at < a[axis].input;
        place = place * a[axis].input + at;
      }
      best = std::max(best, inside ? x[place * p.channels + i % p.channels] : p.fill);
    }
    if (y[i] != best) {
      std::printf("  max pool: %g, not %g\n", y[i], best);
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const int seed = count > 1 ? std::atoi(arguments[1]) : 0;
  const int rounds = count > 2 ? std::atoi(arguments[2]) : 20;
  int wrong = 0;
  for (int round = 0; round < rounds; ++round) {
    generator.seed(unsigned(seed + round));
    if (!exercise() || !exercise_strides() || !exercise_max_pool()) {
      std::printf("seed %d is wrong\n", seed + round);
      ++wrong;
    }
  }
  vw_release(2);
  std::printf("%s: %d problems, %d wrong\n", vw_isa(), rounds, wrong);
  return wrong > 0;
}
