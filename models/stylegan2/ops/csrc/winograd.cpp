// 3x3 convolutions of StyleGAN2 with modulation in front and demodulation, noise, bias and activation behind them, by
// Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016): a tile of
// the image is transformed, multiplied by the transformed weight at each position (a matrix product over the channels)
// and transformed back, in blocks of tiles that stay in a core's cache.
//
// Images are (batch, height, width, channels); the channels fill the vector registers.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "cpu.h"

namespace {

// Registers of a panel of outputs; tiles that one step of the matrix product takes together: their sums, a row of weights
// and a value fill the registers.
#if defined(__AVX512F__)
constexpr int kRegisters = 2, kRows = 12;
#elif defined(__AVX__)
constexpr int kRegisters = 2, kRows = 6;
#else
constexpr int kRegisters = 1, kRows = 6;
#endif
constexpr int kPanel = kLanes * kRegisters;
constexpr size_t kCache = 400'000;  // bytes of a block: what half a core's second cache holds

inline Vector splat(float x) { return x - Vector{}; }
inline Vector read(const float* p) { return load_vector(p); }
inline void write(float* p, Vector v) { store_vector(p, v); }

#ifdef __AVX512BF16__
#define HAS_BFLOAT16
inline Vector read(const BFloat16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return Vector(_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
}
inline void write(BFloat16* p, Vector v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), __m256i(_mm512_cvtneps_pbh(__m512(v))));
}
#endif

// The first `count` lanes, zeros behind them.
template <class T>
inline Vector read(const T* p, int64_t count) {
  if (count >= kLanes) return read(p);
  T part[kLanes] = {};
  std::memcpy(part, p, count * sizeof(T));
  return read(part);
}
template <class T>
inline void write(T* p, Vector v, int64_t count) {
  if (count >= kLanes) return write(p, v);
  T part[kLanes];
  write(part, v);
  std::memcpy(p, part, count * sizeof(T));
}

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
int64_t blocks_of(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

// ---- transforms along one axis, applied along both ----

// to(i, j, value) for each value of L (from) Lᵀ, where L maps L::kFrom values to L::kTo.
template <class L, class From, class To>
inline __attribute__((always_inline)) void transform(From from, To to) {
  Vector half[L::kTo][L::kFrom];
#pragma GCC unroll 8
  for (int j = 0; j < L::kFrom; ++j) {
    Vector column[L::kFrom], out[L::kTo];
#pragma GCC unroll 8
    for (int i = 0; i < L::kFrom; ++i) column[i] = from(i, j);
    L::apply(column, out);
#pragma GCC unroll 8
    for (int i = 0; i < L::kTo; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < L::kTo; ++i) {
    Vector out[L::kTo];
    L::apply(half[i], out);
#pragma GCC unroll 8
    for (int j = 0; j < L::kTo; ++j) to(i, j, out[j]);
  }
}

// Stride 1, 2 outputs: interpolation at 0, ±1, ∞.
struct Same2 {
  static constexpr int kTile = 2, kStep = 2, kOffset = -1;
  struct Input {
    static constexpr int kFrom = 4, kTo = 4;
    static void apply(const Vector* x, Vector* v) {
      v[0] = x[0] - x[2], v[1] = x[1] + x[2], v[2] = x[2] - x[1], v[3] = x[3] - x[1];
    }
  };
  struct Output {
    static constexpr int kFrom = 4, kTo = 2;
    static void apply(const Vector* m, Vector* y) { y[0] = m[0] + m[1] + m[2], y[1] = m[1] - m[2] + m[3]; }
  };
  static void weight(const double* w, double* u) {
    u[0] = w[0], u[1] = (w[0] + w[1] + w[2]) / 2, u[2] = (w[0] - w[1] + w[2]) / 2, u[3] = w[2];
  }
};

// Stride 1, 4 outputs: interpolation at 0, ±5/8, ±3/2, ∞, whose rounding error is half that of the usual 0, ±1, ±2, ∞.
struct Same4 {
  static constexpr int kTile = 4, kStep = 4, kOffset = -1;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  struct Input {
    static constexpr int kFrom = 6, kTo = 6;
    static void apply(const Vector* x, Vector* v) {
      const Vector even_a = x[4] - bb * x[2], odd_a = x[3] - bb * x[1];
      const Vector even_b = x[4] - aa * x[2], odd_b = x[3] - aa * x[1];
      v[0] = aa * bb * x[0] + (x[4] - (aa + bb) * x[2]);
      v[1] = even_a + a * odd_a, v[2] = even_a - a * odd_a;
      v[3] = even_b + b * odd_b, v[4] = even_b - b * odd_b;
      v[5] = aa * bb * x[1] + (x[5] - (aa + bb) * x[3]);
    }
  };
  struct Output {
    static constexpr int kFrom = 6, kTo = 4;
    static void apply(const Vector* m, Vector* y) {
      const Vector even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
      y[0] = m[0] + even_a + even_b;
      y[1] = a * odd_a + b * odd_b;
      y[2] = aa * even_a + bb * even_b;
      y[3] = a * aa * odd_a + (b * bb * odd_b + m[5]);
    }
  };
  static void weight(const double* w, double* u) {
    constexpr double A = a, B = b, AA = A * A, BB = B * B, at_a = 2 * AA * (AA - BB), at_b = 2 * BB * (BB - AA);
    u[0] = w[0] / (AA * BB);
    u[1] = (w[0] + A * w[1] + AA * w[2]) / at_a, u[2] = (w[0] - A * w[1] + AA * w[2]) / at_a;
    u[3] = (w[0] + B * w[1] + BB * w[2]) / at_b, u[4] = (w[0] - B * w[1] + BB * w[2]) / at_b;
    u[5] = w[2];
  }
};

// Transposed convolution of stride 2, 3 inputs: its even outputs x[j] w[0] + x[j - 1] w[2] by interpolation at 0, ±1,
// ∞, its odd outputs x[j] w[1] as they are. 49 products take the place of 81.
struct Up3 {
  static constexpr int kTile = 6, kStep = 3, kOffset = -1;
  struct Input {
    static constexpr int kFrom = 4, kTo = 7;
    static void apply(const Vector* x, Vector* v) {
      v[0] = x[0] - x[2], v[1] = x[1] + x[2], v[2] = x[2] - x[1], v[3] = x[3] - x[1];
      v[4] = x[1], v[5] = x[2], v[6] = x[3];
    }
  };
  struct Output {
    static constexpr int kFrom = 7, kTo = 6;
    static void apply(const Vector* m, Vector* y) {
      y[0] = m[0] + m[1] + m[2], y[2] = m[1] - m[2], y[4] = m[1] + m[2] + m[3];
      y[1] = m[4], y[3] = m[5], y[5] = m[6];
    }
  };
  static void weight(const double* w, double* u) {
    u[0] = w[2], u[1] = (w[2] + w[0]) / 2, u[2] = (w[2] - w[0]) / 2, u[3] = w[0];
    u[4] = u[5] = u[6] = w[1];
  }
};

// Convolution of stride 2 without padding: the adjoint of Up3, which takes its weights mirrored.
struct Down3 {
  static constexpr int kTile = 3, kStep = 6, kOffset = 0;
  struct Input {
    static constexpr int kFrom = 7, kTo = 7;
    static void apply(const Vector* x, Vector* v) {
      v[0] = x[0] - x[4], v[1] = x[2] + x[4], v[2] = x[4] - x[2], v[3] = x[6] - x[2];
      v[4] = x[1], v[5] = x[3], v[6] = x[5];
    }
  };
  struct Output {
    static constexpr int kFrom = 7, kTo = 3;
    static void apply(const Vector* m, Vector* y) {
      y[0] = m[0] + m[1] + m[2] + m[4], y[1] = m[1] - m[2] + m[5], y[2] = m[1] + m[2] + m[3] + m[6];
    }
  };
  static void weight(const double* w, double* u) { Up3::weight(w, u); }
};

// ---- matrix products ----

// to (kRows, kPanel) = tiles (kRows, depth) panel (depth, kPanel)
inline void multiply(int64_t depth, const float* tiles, int64_t tile_stride, const float* panel, float* to,
                     int64_t to_stride) {
  Vector sums[kRows][kRegisters] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Vector weights[kRegisters];
    for (int j = 0; j < kRegisters; ++j) weights[j] = read(panel + k * kPanel + j * kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const Vector value = splat(tiles[i * tile_stride + k]);
#pragma GCC unroll 2
      for (int j = 0; j < kRegisters; ++j) sums[i][j] += value * weights[j];
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kRegisters; ++j) write(to + i * to_stride + j * kLanes, sums[i][j]);
}

#ifdef HAS_BFLOAT16
// The same with pairs of channels side by side in the panel; sums are float32.
inline void multiply(int64_t depth, const BFloat16* tiles, int64_t tile_stride, const BFloat16* panel, float* to,
                     int64_t to_stride) {
  __m512 sums[kRows][kRegisters];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kRegisters; ++j) sums[i][j] = _mm512_setzero_ps();
  for (int64_t k = 0; k < depth; k += 2) {
    __m512bh weights[kRegisters];
    for (int j = 0; j < kRegisters; ++j)
      weights[j] = __m512bh(_mm512_loadu_si512(panel + k * kPanel + j * 2 * kLanes));
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      int32_t pair;
      std::memcpy(&pair, tiles + i * tile_stride + k, sizeof pair);
      const __m512bh value = __m512bh(_mm512_set1_epi32(pair));
#pragma GCC unroll 2
      for (int j = 0; j < kRegisters; ++j) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], value, weights[j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kRegisters; ++j) write(to + i * to_stride + j * kLanes, Vector(sums[i][j]));
}
#endif

// Lets the system back memory with large pages, without which page faults cost as much as a thin layer's arithmetic.
void prefer_large_pages(void* memory, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = uintptr_t(1) << 21;
  const uintptr_t start = (uintptr_t(memory) + page - 1) / page * page, end = (uintptr_t(memory) + bytes) / page * page;
  if (start < end) madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
#endif
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Scratch = std::unique_ptr<T[], Free>;

template <class T>
Scratch<T> scratch(size_t count) {
  const size_t bytes = round_up(count * sizeof(T), 4096);
  void* memory = std::aligned_alloc(4096, bytes);
  prefer_large_pages(memory, bytes);
  return Scratch<T>(static_cast<T*>(memory));
}

// A block of transformed tiles and its products with the weight. Strides are odd numbers of cache lines, so that what
// is used together does not share a cache set.
template <class T, class Kind>
class Block {
 public:
  static constexpr int kPositions = Kind::Input::kTo * Kind::Input::kTo;

  // Tiles of a block: as many as the cache holds, more where a large weight has to be read for each block.
  static int64_t tiles(int64_t inputs, int64_t outputs, int64_t least) {
    const size_t bytes = kPositions * (depth(inputs) * sizeof(T) + round_up(outputs, kPanel) * sizeof(float));
    return round_up(std::clamp<int64_t>(kCache / bytes, least, 192), kRows);
  }
  static int64_t depth(int64_t inputs) { return round_up(inputs, kLanes); }

  Block(int64_t tiles, int64_t inputs, int64_t outputs, const void* weight)
      : depth_(depth(inputs)),
        width_(round_up(outputs, kPanel)),
        tile_stride_(odd_lines<T>(depth_)),
        product_stride_(odd_lines<float>(width_)),
        input_stride_(odd_lines<T>(round_up(tiles, kRows) * tile_stride_)),
        output_stride_(odd_lines<float>(round_up(tiles, kRows) * product_stride_)),
        weight_(static_cast<const T*>(weight)),
        inputs_(scratch<T>(kPositions * input_stride_)),
        outputs_(scratch<float>(kPositions * output_stride_)) {}

  // Transforms the patch at (top, left) of an image, zero outside of it.
  void fill(int64_t tile, const T* image, int64_t height, int64_t width, int64_t channels, const float* factors,
            int64_t top, int64_t left) {
    using Input = typename Kind::Input;
    constexpr int side = Input::kFrom;
    const bool inside = top >= 0 && left >= 0 && top + side <= height && left + side <= width;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t count = std::min<int64_t>(channels - c, kLanes);
      const T* corner = image + (top * width + left) * channels + c;
      int64_t row = width * channels, column = channels;
      T copy[side * side * kLanes];
      if (!inside || count < kLanes) {
        std::fill(std::begin(copy), std::end(copy), T{});
        for (int64_t i = std::max<int64_t>(0, -top); i < std::min<int64_t>(side, height - top); ++i)
          for (int64_t j = std::max<int64_t>(0, -left); j < std::min<int64_t>(side, width - left); ++j)
            std::copy_n(corner + i * row + j * column, count, copy + (i * side + j) * kLanes);
        corner = copy, row = side * kLanes, column = kLanes;
      }
      const Vector factor = factors ? read(factors + c, count) : splat(1);
      T* to = inputs_.get() + tile * tile_stride_ + c;
      transform<Input>([&](int i, int j) { return factor * read(corner + i * row + j * column); },
                       [&](int i, int j, Vector v) { write(to + (i * Input::kTo + j) * input_stride_, v); });
    }
  }

  void multiply(int64_t tiles) {
    for (int64_t position = 0; position < kPositions; ++position)
      for (int64_t o = 0; o < width_; o += kPanel)
        for (int64_t tile = 0; tile < tiles; tile += kRows)
          ::multiply(depth_, inputs_.get() + position * input_stride_ + tile * tile_stride_, tile_stride_,
                     weight_ + (position * width_ + o) * depth_,
                     outputs_.get() + position * output_stride_ + tile * product_stride_ + o, product_stride_);
  }

  // to(i, j, value) for the results of a tile in the channels from o on.
  template <class To>
  inline __attribute__((always_inline)) void results(int64_t tile, int64_t o, To to) const {
    const float* from = outputs_.get() + tile * product_stride_ + o;
    constexpr int kFrom = Kind::Output::kFrom;
    transform<typename Kind::Output>([&](int i, int j) { return read(from + (i * kFrom + j) * output_stride_); }, to);
  }

 private:
  template <class Number>
  static int64_t odd_lines(int64_t count) {
    constexpr int64_t line = 64 / sizeof(Number);
    return (round_up(count, line) / line | 1) * line;
  }

  int64_t depth_, width_, tile_stride_, product_stride_, input_stride_, output_stride_;
  const T* weight_;
  Scratch<T> inputs_;
  Scratch<float> outputs_;
};

// ---- what follows the convolution ----

// clamp(gain · lrelu(x · scale + noise + bias)) of one sample's pixels
template <class T>
class Finish {
 public:
  Finish(const Winograd& a, int64_t sample)
      : outputs_(a.outputs),
        y_(static_cast<T*>(a.y) + sample * a.out_height * a.out_width * a.outputs),
        scale_(a.scale ? a.scale + sample * a.outputs : nullptr),
        noise_(a.noise ? a.noise + (a.noise_per_sample ? sample * a.out_height * a.out_width : 0) : nullptr),
        bias_(a.bias),
        positive_(splat(a.gain)),
        negative_(splat(a.gain * a.slope)) {
    T limit;  // the result is rounded to T, and so is its bound
    store(limit, float(a.limit));
    limit_ = splat(load(limit));
  }

  struct Channels {
    int64_t first, count;
    Vector scale, bias;
  };
  Channels channels(int64_t o) const {
    const int64_t count = outputs_ - o;
    return {o, count, scale_ ? read(scale_ + o, count) : splat(1), bias_ ? read(bias_ + o, count) : Vector{}};
  }
  float noise(int64_t pixel) const { return noise_ ? noise_[pixel] : 0; }
  void put(const Channels& at, int64_t pixel, float noise, Vector x) const {
    const Vector u = at.scale * x + (at.bias + noise);
    Vector y = u * (u > 0 ? positive_ : negative_);
    y = y > limit_ ? limit_ : y;
    write(y_ + pixel * outputs_ + at.first, y < -limit_ ? -limit_ : y, at.count);
  }

 private:
  int64_t outputs_;
  T* y_;
  const float *scale_, *noise_, *bias_;
  Vector positive_, negative_, limit_;
};

// Tiles that cover the output (Same, Down): each finishes its own pixels.
template <class T, class Kind>
void convolve(const Winograd& a) {
  constexpr int side = Kind::kTile;
  const int64_t columns = blocks_of(a.out_width, side), tiles = blocks_of(a.out_height, side) * columns;
  const int64_t most = Block<T, Kind>::tiles(a.inputs, a.outputs, a.inputs >= 256 ? 48 : kRows);
  const int64_t size = round_up(blocks_of(tiles, blocks_of(tiles, most)), kRows), blocks = blocks_of(tiles, size);
  std::vector<float> sums(a.sums ? a.batch * blocks * a.outputs : 0);
#pragma omp parallel num_threads(a.threads)
  {
    Block<T, Kind> block(size, a.inputs, a.outputs, a.weight);
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t sample = 0; sample < a.batch; ++sample)
      for (int64_t index = 0; index < blocks; ++index) {
        const int64_t first = index * size, count = std::min(size, tiles - first);
        const T* image = static_cast<const T*>(a.x) + sample * a.height * a.width * a.inputs;
        const float* factors = a.modulation ? a.modulation + sample * a.inputs : nullptr;
        for (int64_t tile = 0; tile < count; ++tile)
          block.fill(tile, image, a.height, a.width, a.inputs, factors,
                     (first + tile) / columns * Kind::kStep + Kind::kOffset,
                     (first + tile) % columns * Kind::kStep + Kind::kOffset);
        block.multiply(count);
        const Finish<T> finish(a, sample);
        const T* other = static_cast<const T*>(a.other) + (a.sums ? sample * a.out_height * a.out_width * a.outputs : 0);
        for (int64_t tile = 0; tile < count; ++tile) {
          const int64_t top = (first + tile) / columns * side, left = (first + tile) % columns * side;
          const int64_t bottom = a.out_height - top, right = a.out_width - left;
          float noise[side][side];
          for (int i = 0; i < side; ++i)
            for (int j = 0; j < side; ++j)
              noise[i][j] = i < bottom && j < right ? finish.noise((top + i) * a.out_width + left + j) : 0;
          for (int64_t o = 0; o < a.outputs; o += kLanes) {
            const auto channels = finish.channels(o);
            Vector values[side][side], sum = {};
            block.results(tile, o, [&](int i, int j, Vector v) { values[i][j] = v; });
            for (int64_t i = 0; i < std::min<int64_t>(side, bottom); ++i)
              for (int64_t j = 0; j < std::min<int64_t>(side, right); ++j) {
                const int64_t pixel = (top + i) * a.out_width + left + j;
                finish.put(channels, pixel, noise[i][j], values[i][j]);
                if (a.sums) sum += values[i][j] * read(other + pixel * a.outputs + o, channels.count);
              }
            if (a.sums) {
              float* total = sums.data() + (sample * blocks + index) * a.outputs + o;
              write(total, read(total, channels.count) + sum, channels.count);
            }
          }
        }
      }
  }
  if (a.sums)  // in the same order for any number of threads
    for (int64_t sample = 0; sample < a.batch; ++sample)
      for (int64_t o = 0; o < a.outputs; ++o) {
        double total = 0;
        for (int64_t index = 0; index < blocks; ++index) total += sums[(sample * blocks + index) * a.outputs + o];
        a.sums[sample * a.outputs + o] = float(total);
      }
}

// Transposed convolution, then a separable filter of four taps, whose windows reach over the tiles: rows of the
// convolution are kept until the filter has passed.
template <class T>
class Upsampler {
 public:
  Upsampler(const Winograd& a)
      : a_(a),
        rows_(a.height / Up3::kStep + 1),  // one more input than the image has: the last even output needs it
        columns_(a.width / Up3::kStep + 1),
        most_(Block<T, Up3>::tiles(a.inputs, a.outputs, a.inputs >= 256 ? 96 : 2 * kRows)),
        tall_(std::clamp<int64_t>(most_ / columns_, 1, rows_)),
        wide_(blocks_of(columns_, blocks_of(columns_ * tall_, most_))),
        depth_(round_up(a.outputs, kLanes)),
        row_((columns_ * kTile + 1) * depth_) {}

  void run() {
    // one band of rows a sample; where threads would idle, several, which begin a row of tiles early
    const int64_t bands = a_.batch % a_.threads ? std::min<int64_t>(a_.threads, blocks_of(rows_, 4)) : 1;
#pragma omp parallel num_threads(a_.threads)
    {
      Block<T, Up3> block(tall_ * wide_, a_.inputs, a_.outputs, a_.weight);
      // kept rows, then those of the present tiles; each begins with a pixel of padding
      const auto rows = scratch<float>((kKept + tall_ * kTile) * row_), line = scratch<float>(row_);
#pragma omp for collapse(2) schedule(dynamic)
      for (int64_t sample = 0; sample < a_.batch; ++sample)
        for (int64_t band = 0; band < bands; ++band) {
          const int64_t begin = rows_ * band / bands, end = rows_ * (band + 1) / bands;
          std::fill_n(rows.get(), (kKept + tall_ * kTile) * row_, 0.0f);
          if (band) {
            convolve(block, sample, begin - 1, begin, rows.get(), [](int64_t, int64_t) {});
            keep(rows.get(), kTile);
          }
          for (int64_t top = begin; top < end; top += tall_) {
            const int64_t bottom = std::min(end, top + tall_);
            convolve(block, sample, top, bottom, rows.get(), [&](int64_t left, int64_t right) {
              filter(sample, top, bottom, left, right, rows.get(), line.get());
            });
            keep(rows.get(), (bottom - top) * kTile);
          }
        }
    }
  }

 private:
  static constexpr int64_t kTile = Up3::kTile, kKept = 3;

  // Rows of tiles [top, bottom) from left to right; done(left, right) after each run of columns of the convolution.
  template <class Done>
  void convolve(Block<T, Up3>& block, int64_t sample, int64_t top, int64_t bottom, float* rows, Done done) const {
    const T* image = static_cast<const T*>(a_.x) + sample * a_.height * a_.width * a_.inputs;
    const float* factors = a_.modulation ? a_.modulation + sample * a_.inputs : nullptr;
    for (int64_t left = 0; left < columns_; left += wide_) {
      const int64_t width = std::min(wide_, columns_ - left), count = (bottom - top) * width;
      for (int64_t tile = 0; tile < count; ++tile)
        block.fill(tile, image, a_.height, a_.width, a_.inputs, factors,
                   (top + tile / width) * Up3::kStep + Up3::kOffset,
                   (left + tile % width) * Up3::kStep + Up3::kOffset);
      block.multiply(count);
      for (int64_t tile = 0; tile < count; ++tile) {
        float* to = rows + (kKept + tile / width * kTile) * row_ + (1 + (left + tile % width) * kTile) * depth_;
        for (int64_t o = 0; o < a_.outputs; o += kLanes)
          block.results(tile, o, [&](int i, int j, Vector v) { write(to + i * row_ + j * depth_ + o, v); });
      }
      done(left * kTile, (left + width) * kTile);
    }
  }

  void keep(float* rows, int64_t done) const { std::copy_n(rows + done * row_, kKept * row_, rows); }

  // Finishes the outputs that see no row and no column behind those which are there.
  void filter(int64_t sample, int64_t top, int64_t bottom, int64_t left, int64_t right, const float* rows,
              float* line) const {
    const int64_t first_row = std::max<int64_t>(0, top * kTile - 2), first = std::max<int64_t>(0, left - 2);
    const int64_t last_row = std::min(a_.out_height, bottom * kTile - 2), last = std::min(a_.out_width, right - 2);
    const Vector f[] = {splat(a_.taps[0]), splat(a_.taps[1]), splat(a_.taps[2]), splat(a_.taps[3])};
    const auto filtered = [&](const float* from, int64_t step) {
      return f[0] * read(from) + f[1] * read(from + step) + f[2] * read(from + 2 * step) + f[3] * read(from + 3 * step);
    };
    const Finish<T> finish(a_, sample);
    for (int64_t row = first_row; row < last_row; ++row) {
      const float* above = rows + (kKept + row - 1 - top * kTile) * row_;
      for (int64_t i = first * depth_; i < (last + 3) * depth_; i += kLanes) write(line + i, filtered(above + i, row_));
      for (int64_t column = first; column < last; ++column) {
        const int64_t pixel = row * a_.out_width + column;
        const float noise = finish.noise(pixel);
        for (int64_t o = 0; o < a_.outputs; o += kLanes)
          finish.put(finish.channels(o), pixel, noise, filtered(line + column * depth_ + o, depth_));
      }
    }
  }

  const Winograd& a_;
  int64_t rows_, columns_, most_, tall_, wide_, depth_, row_;
};

// ---- weights ----

// weight (outputs, inputs, 3, 3) -> (positions, panels, inputs, kPanel), pairs of inputs side by side in bfloat16
template <class T, class Kind>
void pack(WinogradWeight& a) {
  constexpr int side = Kind::Input::kTo, pair = sizeof(T) == 2 ? 2 : 1;
  const int64_t depth = Block<T, Kind>::depth(a.inputs), width = round_up(a.outputs, kPanel);
  a.size = side * side * depth * width;
  if (a.packed == nullptr) return;
  auto* packed = static_cast<T*>(a.packed);
#pragma omp parallel for num_threads(a.threads)
  for (int64_t panel = 0; panel < width; panel += kPanel)
    for (int64_t i = 0; i < depth; ++i)
      for (int64_t o = panel; o < panel + kPanel; ++o) {
        double w[9] = {}, half[3][side], u[side];
        if (o < a.outputs && i < a.inputs) {
          const float* from = a.weight + (a.adjoint ? i * a.outputs + o : o * a.inputs + i) * 9;
          for (int k = 0; k < 9; ++k) w[k] = a.scale * from[a.adjoint ? 8 - k : k];
        }
        for (int row = 0; row < 3; ++row) Kind::weight(w + 3 * row, half[row]);
        for (int column = 0; column < side; ++column) {
          const double v[3] = {half[0][column], half[1][column], half[2][column]};
          Kind::weight(v, u);
          for (int row = 0; row < side; ++row) {
            const int64_t start = ((row * side + column) * width + panel) * depth;
            store(packed[start + (i / pair * kPanel + o - panel) * pair + i % pair], float(u[row]));
          }
        }
      }
}

// Gradient of the convolution's output, times scale: grad · dy/du · scale, and sums over the pixels of each chunk.
template <class T>
void finish_backward(const WinogradGradient& a) {
  T rounded;
  store(rounded, float(a.limit));
  const Vector limit = splat(load(rounded)), positive = splat(a.gain), negative = splat(a.gain * a.slope);
#pragma omp parallel for collapse(2) num_threads(a.threads) schedule(dynamic)
  for (int64_t sample = 0; sample < a.batch; ++sample)
    for (int64_t chunk = 0; chunk < a.chunks; ++chunk) {
      const int64_t begin = a.pixels * chunk / a.chunks, end = a.pixels * (chunk + 1) / a.chunks;
      const float* noise = a.noise ? a.noise + (a.noise_per_sample ? sample * a.pixels : 0) : nullptr;
      float* sums = a.sums + (sample * a.chunks + chunk) * a.channels;
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        const int64_t at = (sample * a.pixels + pixel) * a.channels;
        const T *grad = static_cast<const T*>(a.grad) + at, *y = static_cast<const T*>(a.y) + at;
        for (int64_t c = 0; c < a.channels; c += kLanes) {
          const int64_t count = a.channels - c;
          const Vector value = read(y + c, count), bias = a.bias ? read(a.bias + c, count) : Vector{};
          Vector to_y = read(grad + c, count);
          to_y = value < limit ? to_y : Vector{};
          to_y = value > -limit ? to_y : Vector{};
          const Vector to_u = to_y * (value > 0 ? positive : negative);
          const Vector scale = a.scale ? read(a.scale + sample * a.channels + c, count) : splat(1);
          write(static_cast<T*>(a.grad_x) + at + c, to_u * scale, count);
          // u dy/du is y, as the activation bends at 0 alone
          const Vector product = to_y * value - to_u * (bias + (noise ? noise[pixel] : 0.0f));
          write(sums + c, read(sums + c, count) + product, count);
        }
      }
    }
}

// Calls the function object with a null pointer of the images' type, if it has a form here.
template <class F>
void with_type(int64_t dtype, F&& function) {
  if (dtype == kFloat32) function(static_cast<float*>(nullptr));
#ifdef HAS_BFLOAT16
  if (dtype == kBFloat16) function(static_cast<BFloat16*>(nullptr));
#endif
}

// float32 takes larger tiles, whose rounding error bfloat16 could not bear.
template <class T>
using Same = std::conditional_t<sizeof(T) == 2, Same2, Same4>;

}  // namespace

extern "C" const char* winograd_pack(WinogradWeight* a, void*) {
  a->size = 0;
  with_type(a->dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    a->kind == kSame ? pack<T, Same<T>>(*a) : a->kind == kUp ? pack<T, Up3>(*a) : pack<T, Down3>(*a);
  });
  return nullptr;
}

extern "C" const char* winograd(const Winograd* a, void*) {
  with_type(a->dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    prefer_large_pages(a->y, a->batch * a->out_height * a->out_width * a->outputs * sizeof(T));
    a->kind == kSame ? convolve<T, Same<T>>(*a) : a->kind == kUp ? Upsampler<T>(*a).run() : convolve<T, Down3>(*a);
  });
  return nullptr;
}

extern "C" const char* winograd_gradient(const WinogradGradient* a, void*) {
  with_type(a->dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    prefer_large_pages(a->grad_x, a->batch * a->pixels * a->channels * sizeof(T));
    finish_backward<T>(*a);
  });
  return nullptr;
}
