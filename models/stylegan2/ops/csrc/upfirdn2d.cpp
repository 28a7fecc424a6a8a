// Resampling by a FIR filter on the CPU.
//
// The filter is written as a sum of products of a column and a row; those in use are one product. Taps that would meet
// an inserted zero are never touched. The blur of many channels, which is most of the work, has a loop of its own.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "cpu.h"

extern "C" const char* bias_act(const BiasAct*, void*);

namespace {

constexpr int64_t kRowsPerTask = 16;
constexpr int64_t kTile = 1 << 12;  // values of a row that are filtered at a time, so that they stay in the cache

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

// out = (out where add) + Σ_t weights[t] · in[t], over `length` values
template <int kCount, class In, class C>
void weighted_sum(C* out, const In* const* in, const C* weights, int64_t length, bool add) {
  const In* from[kCount];
  C factor[kCount];
  for (int t = 0; t < kCount; ++t) from[t] = in[t], factor[t] = weights[t];
#pragma omp simd
  for (int64_t j = 0; j < length; ++j) {
    C sum = add ? out[j] : C(0);
    for (int t = 0; t < kCount; ++t) sum += factor[t] * load(from[t][j]);
    out[j] = sum;
  }
}

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

// Any factors, layout and filter: each output row takes a weighted sum of input rows, then filters it along x.
template <class T>
class Resampler {
  using C = Compute<T>;
  const Upfirdn2d& a;
  const std::vector<Product<C>>& products;
  const int64_t tile;         // output pixels of a row at a time
  std::vector<Taps> columns;  // of every output pixel of a row

 public:
  Resampler(const Upfirdn2d& arguments, const std::vector<Product<C>>& factors)
      : a(arguments), products(factors), tile(std::max<int64_t>(1, kTile / arguments.depth)) {
    for (int64_t x = 0; x < a.out_width; ++x) columns.emplace_back(x, a.up_x, a.down_x, a.before_x, a.kernel_width);
  }

  void run() const {
    const int64_t bands = (a.out_height + kRowsPerTask - 1) / kRowsPerTask;
#pragma omp parallel for collapse(2) if (a.planes * a.out_height * a.out_width * a.depth > 4 * kTile)
    for (int64_t plane = 0; plane < a.planes; ++plane)
      for (int64_t band = 0; band < bands; ++band)
        for (int64_t left = 0; left < a.out_width; left += tile) {
          const int64_t bottom = std::min(a.out_height, (band + 1) * kRowsPerTask);
          filter_tile(plane, band * kRowsPerTask, bottom, left, std::min(a.out_width, left + tile));
        }
  }

 private:
  void filter_tile(int64_t plane, int64_t top, int64_t bottom, int64_t left, int64_t right) const {
    const int64_t depth = a.depth, length = (right - left) * depth;
    const int64_t start = columns[left].pixel;
    const int64_t stop = columns[right - 1].pixel + columns[right - 1].count;
    const int64_t inside = std::clamp<int64_t>(start, 0, a.width), end = std::clamp<int64_t>(stop, inside, a.width);
    // beyond the picture the sum of rows stays zero
    std::vector<C> sum((stop - start) * depth, C(0)), row(length);
    std::vector<const T*> inputs(a.kernel_height);
    std::vector<C> weights(a.kernel_height);
    const T* const x = static_cast<const T*>(a.x) + plane * a.height * a.width * depth;
    for (int64_t y = top; y < bottom; ++y) {
      const Taps taps(y, a.up_y, a.down_y, a.before_y, a.kernel_height);
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
        filter_row(row.data(), sum.data() - start * depth, product.row, left, right, &product != &products[0]);
      }
      T* const to = static_cast<T*>(a.y) + ((plane * a.out_height + y) * a.out_width + left) * depth;
#pragma omp simd
      for (int64_t j = 0; j < length; ++j) store(to[j], row[j]);
    }
  }

  // Outputs that are `period` apart meet the same taps, `step` pixels further on. `sum` points to where pixel 0 would be.
  void filter_row(C* row, const C* sum, const std::vector<C>& filter, int64_t left, int64_t right, bool add) const {
    const int64_t depth = a.depth, period = a.up_x / std::gcd(a.up_x, a.down_x), step = period * a.down_x / a.up_x;
    std::vector<const C*> inputs(filter.size());
    std::vector<C> weights(filter.size()), run;
    for (int64_t first = left; first < std::min(right, left + period); ++first) {
      const Taps& taps = columns[first];
      for (int64_t t = 0; t < taps.count; ++t) {
        inputs[t] = sum + (taps.pixel + t) * depth;
        weights[t] = filter[taps.first + t * a.up_x];
      }
      C* to = row + (first - left) * depth;
      const int64_t outputs = (right - first + period - 1) / period;
      if (period == 1 && step == 1) {
        weighted_sum(to, inputs.data(), weights.data(), taps.count, outputs * depth, add);
      } else if (depth >= kLanes) {
        for (int64_t j = 0; j < outputs; ++j, to += period * depth) {
          weighted_sum(to, inputs.data(), weights.data(), taps.count, depth, add);
          for (int64_t t = 0; t < taps.count; ++t) inputs[t] += step * depth;
        }
      } else {  // few channels: filter all pixels as one run of values, then take those that are wanted
        run.resize(((outputs - 1) * step + 1) * depth);
        weighted_sum(run.data(), inputs.data(), weights.data(), taps.count, int64_t(run.size()), false);
        for (int64_t j = 0; j < outputs; ++j, to += period * depth)
          for (int64_t c = 0; c < depth; ++c) to[c] = (add ? to[c] : C(0)) + run[j * step * depth + c];
      }
    }
  }
};

// The blur of StyleGAN2, 4×4 taps and no resampling, for channels that lie together: a few output rows at a time walk
// along x with all sums in registers, and the activation that follows costs no pass over memory of its own.
template <class T>
class Blur {
  static constexpr int kTaps = 4, kRows = 4;
  const Upfirdn2d& a;
  const Product<float>& filter;
  const std::vector<T> beyond;  // a row above or below the picture

 public:
  Blur(const Upfirdn2d& arguments, const Product<float>& product)
      : a(arguments), filter(product), beyond(arguments.width * arguments.depth) {}

  static bool fits(const Upfirdn2d& a, size_t products) {
    return products == 1 && a.kernel_height == kTaps && a.kernel_width == kTaps && a.depth % kLanes == 0 &&
           a.up_x == 1 && a.up_y == 1 && a.down_x == 1 && a.down_y == 1;
  }

  void run() const {
    const int64_t bands = (a.out_height + kRows - 1) / kRows;
#pragma omp parallel for collapse(2) if (a.planes * a.out_height * a.out_width * a.depth > 4 * kTile)
    for (int64_t plane = 0; plane < a.planes; ++plane)
      for (int64_t band = 0; band < bands; ++band)
        for (int64_t channel = 0; channel < a.depth; channel += kLanes)
          a.then ? walk<true>(plane, band * kRows, channel) : walk<false>(plane, band * kRows, channel);
  }

 private:
  template <bool kThen>
  void walk(int64_t plane, int64_t top, int64_t channel) const {
    const T* input[kRows + kTaps - 1];
    for (int i = 0; i < kRows + kTaps - 1; ++i) {
      const int64_t line = top + i - a.before_y, row = plane * a.height + line;
      const bool inside = line >= 0 && line < a.height;
      input[i] = inside ? static_cast<const T*>(a.x) + row * a.width * a.depth + channel : beyond.data();
    }
    Vector down[kTaps], along[kTaps];
    for (int t = 0; t < kTaps; ++t) {
      down[t] = Vector{} + filter.column[t];
      along[t] = Vector{} + filter.row[t];
    }
    const int64_t first = (plane * a.out_height + top) * a.out_width;
    T* const output = static_cast<T*>(a.y) + first * a.depth + channel;
    const int rows = int(std::min<int64_t>(kRows, a.out_height - top));
    Vector scale = Vector{} + 1.0f, bias = {};
    const float* noise[kRows] = {};
    Curve<Vector> curve = {};
    if constexpr (kThen) {
      const Curve<float> numbers = curve_of<T>(*a.then);
      curve = {Vector{} + numbers.slope, Vector{} + numbers.gain, Vector{} + numbers.limit};
      const int64_t sample = a.then->noise_per_sample ? plane : 0;
      if (a.then->scale) scale = load_vector(static_cast<const float*>(a.then->scale) + plane * a.depth + channel);
      if (a.then->bias) bias = load_vector(static_cast<const float*>(a.then->bias) + channel);
      for (int k = 0; a.then->noise && k < rows; ++k)
        noise[k] = static_cast<const float*>(a.then->noise) + (sample * a.out_height + top + k) * a.out_width;
    }
    Vector sums[kRows][kTaps - 1] = {};  // of the next outputs, as far as their columns were met
    for (int64_t x = 1 - kTaps; x < a.out_width; ++x) {
      const int64_t column = x + kTaps - 1 - a.before_x;
      const bool inside = column >= 0 && column < a.width;
      Vector pixels[kRows + kTaps - 1];
#pragma GCC unroll 8
      for (int i = 0; i < kRows + kTaps - 1; ++i)
        pixels[i] = inside ? load_vector(input[i] + column * a.depth) : Vector{};
#pragma GCC unroll 8
      for (int k = 0; k < kRows; ++k) {
        const Vector sum =
            down[0] * pixels[k] + down[1] * pixels[k + 1] + down[2] * pixels[k + 2] + down[3] * pixels[k + 3];
        Vector result = sums[k][0] + along[3] * sum;
        sums[k][0] = sums[k][1] + along[2] * sum;
        sums[k][1] = sums[k][2] + along[1] * sum;
        sums[k][2] = along[0] * sum;
        if (x < 0 || k >= rows) continue;
        if constexpr (kThen) result = curve(result * scale + (bias + (noise[k] ? noise[k][x] : 0.0f)));
        store_vector(output + (k * a.out_width + x) * a.depth, result);
      }
    }
  }
};

template <class T>
void run(const Upfirdn2d& a) {
  const auto products = factors<Compute<T>>(a);
  if constexpr (!std::is_same_v<T, double>)
    if (Blur<T>::fits(a, products.size())) return Blur<T>(a, products[0]).run();
  Resampler<T>(a, products).run();
  if (a.then) {
    BiasAct then = *a.then;
    then.x = then.y = a.y;
    bias_act(&then, nullptr);
  }
}

}  // namespace

extern "C" const char* upfirdn2d(const Upfirdn2d* a, void*) {
  dispatch(a->dtype, [&](auto* type) { run<std::remove_pointer_t<decltype(type)>>(*a); });
  return nullptr;
}
