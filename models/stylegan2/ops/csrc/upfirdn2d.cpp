// Resampling by a FIR filter on the CPU.
//
// The filter is written as a sum of products of a column and a row (one product for the separable ones). Each output
// row then takes a weighted sum of input rows, which is as fast as memory for every layout, and filters that sum along
// x while it is in the cache. Taps that would meet an inserted zero are never touched.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu.h"

namespace {

constexpr int64_t kRowsPerTask = 16;
constexpr int64_t kTile = 1 << 13;  // values of a row that are filtered at a time, so that they stay in the cache

template <class C>
struct Product {
  std::vector<C> column, row;
};

// Elimination with full pivoting: as many products as the rank of the filter.
template <class C>
std::vector<Product<C>> factors(const Upfirdn2d& a) {
  const int64_t height = a.kernel_height, width = a.kernel_width;
  const auto* kernel = static_cast<const C*>(a.kernel);
  std::vector<C> rest(kernel, kernel + height * width);
  if (a.mirrored) std::reverse(rest.begin(), rest.end());
  const auto smaller = [](C one, C other) { return std::abs(one) < std::abs(other); };
  const C largest = std::abs(*std::max_element(rest.begin(), rest.end(), smaller));
  std::vector<Product<C>> products;
  while (int64_t(products.size()) < std::min(height, width)) {
    const int64_t pivot = std::max_element(rest.begin(), rest.end(), smaller) - rest.begin();
    const C value = rest[pivot];
    if (!products.empty() && std::abs(value) <= 4 * std::numeric_limits<C>::epsilon() * largest) break;
    Product<C> product{std::vector<C>(height), std::vector<C>(width)};
    for (int64_t i = 0; i < height; ++i) product.column[i] = rest[i * width + pivot % width];
    for (int64_t j = 0; j < width; ++j) product.row[j] = value == 0 ? C(0) : rest[pivot / width * width + j] / value;
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) rest[i * width + j] -= product.column[i] * product.row[j];
    for (C& tap : product.column) tap *= C(a.gain);
    products.push_back(product);
  }
  return products;
}

// The taps that meet pixels, not inserted zeros, for one output position along one axis.
struct Taps {
  int64_t first, count, pixel;  // tap, number of taps (each `up` after the last), pixel that the first one meets
  Taps(int64_t output, int64_t up, int64_t down, int64_t before, int64_t length) {
    const int64_t position = output * down - before;
    first = ((-position) % up + up) % up;
    count = first < length ? (length - first + up - 1) / up : 0;
    pixel = (position + first) / up;
  }
};

template <int kCount, class In, class C>
void weighted_sum(C* out, const In* const* in, const C* weights, int64_t length, bool add) {
#pragma omp simd
  for (int64_t j = 0; j < length; ++j) {
    C sum = add ? out[j] : C(0);
    for (int t = 0; t < kCount; ++t) sum += weights[t] * load(in[t][j]);
    out[j] = sum;
  }
}

// out = (out if add) + Σ_t weights[t] · in[t], over `length` values
template <class In, class C>
void weighted_sum(C* out, const In* const* in, const C* weights, int64_t count, int64_t length, bool add) {
  for (; count > 4; count -= 4, in += 4, weights += 4, add = true) weighted_sum<4>(out, in, weights, length, add);
  switch (count) {
    case 4: return weighted_sum<4>(out, in, weights, length, add);
    case 3: return weighted_sum<3>(out, in, weights, length, add);
    case 2: return weighted_sum<2>(out, in, weights, length, add);
    case 1: return weighted_sum<1>(out, in, weights, length, add);
    default:
      if (!add) std::fill(out, out + length, C(0));
  }
}

template <class T>
class Resampler {
  using C = Compute<T>;
  const Upfirdn2d& a;
  const std::vector<Product<C>> products;
  const int64_t tile;  // output pixels of a row at a time

 public:
  explicit Resampler(const Upfirdn2d& arguments)
      : a(arguments), products(factors<C>(arguments)), tile(std::max<int64_t>(1, kTile / arguments.depth)) {}

  void run() const {
    const int64_t bands = (a.out_height + kRowsPerTask - 1) / kRowsPerTask;
#pragma omp parallel for collapse(2) if (a.planes * a.out_height * a.out_width * a.depth > 4 * kTile)
    for (int64_t plane = 0; plane < a.planes; ++plane)
      for (int64_t band = 0; band < bands; ++band)
        for (int64_t column = 0; column < a.out_width; column += tile) {
          const int64_t last = std::min(a.out_height, (band + 1) * kRowsPerTask);
          run_tile(plane, band * kRowsPerTask, last, column, std::min(a.out_width, column + tile));
        }
  }

 private:
  void run_tile(int64_t plane, int64_t top, int64_t bottom, int64_t left, int64_t right) const {
    const int64_t depth = a.depth;
    const Taps first(left, a.up_x, a.down_x, a.before_x, a.kernel_width);
    const Taps last(right - 1, a.up_x, a.down_x, a.before_x, a.kernel_width);
    const int64_t start = first.pixel, stop = std::max(start, last.pixel + last.count);
    const int64_t inside = std::clamp<int64_t>(start, 0, a.width), end = std::clamp<int64_t>(stop, inside, a.width);
    // beyond the picture the sum of rows stays zero
    std::vector<C> sum((stop - start) * depth, C(0)), row((right - left) * depth);
    std::vector<const T*> inputs(a.kernel_height);
    std::vector<C> weights(std::max(a.kernel_height, a.kernel_width));
    const T* const x = static_cast<const T*>(a.x) + plane * a.height * a.width * depth;
    for (int64_t y = top; y < bottom; ++y) {
      const Taps taps(y, a.up_y, a.down_y, a.before_y, a.kernel_height);
      bool add = false;
      for (const Product<C>& product : products) {
        int64_t count = 0;
        for (int64_t t = 0; t < taps.count; ++t) {
          const int64_t line = taps.pixel + t;
          if (line < 0 || line >= a.height) continue;
          inputs[count] = x + (line * a.width + inside) * depth;
          weights[count++] = product.column[taps.first + t * a.up_y];
        }
        C* const within = sum.data() + (inside - start) * depth;
        weighted_sum(within, inputs.data(), weights.data(), count, (end - inside) * depth, false);
        filter_row(row.data(), sum.data(), product.row, start, left, right, add);
        add = true;
      }
      T* to = static_cast<T*>(a.y) + ((plane * a.out_height + y) * a.out_width + left) * depth;
#pragma omp simd
      for (int64_t j = 0; j < (right - left) * depth; ++j) store(to[j], row[j]);
    }
  }

  void filter_row(C* row, const C* sum, const std::vector<C>& filter, int64_t start, int64_t left, int64_t right,
                  bool add) const {
    // without resampling along x the whole row is one run of values, else each pixel is
    const bool whole = a.up_x == 1 && a.down_x == 1;
    const int64_t pixels = whole ? right - left : 1;
    std::vector<const C*> inputs(filter.size());
    std::vector<C> weights(filter.size());
    for (int64_t x = left; x < right; x += pixels) {
      const Taps taps(x, a.up_x, a.down_x, a.before_x, a.kernel_width);
      for (int64_t t = 0; t < taps.count; ++t) {
        inputs[t] = sum + (taps.pixel - start + t) * a.depth;
        weights[t] = filter[taps.first + t * a.up_x];
      }
      weighted_sum(row + (x - left) * a.depth, inputs.data(), weights.data(), taps.count, pixels * a.depth, add);
    }
  }
};

}  // namespace

extern "C" const char* upfirdn2d(const Upfirdn2d* a, void*) {
  dispatch(a->dtype, [&](auto* type) { Resampler<std::remove_pointer_t<decltype(type)>>(*a).run(); });
  return nullptr;
}
