// Families of blocks for tests: from ordinary to adversarial, where scales tie, underflow and overflow.
#pragma once

#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e2m1.h"

namespace mxfp4::test {

using Random = std::mt19937_64;

inline double uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

inline int integer(Random& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

inline double sign(Random& random) {
  return integer(random, 0, 1) == 0 ? 1.0 : -1.0;
}

/// Fills a block of doubles, which are scaled by a power of two where `scaled`, and rounded to f32.
struct BlockFamily {
  const char* name;
  bool scaled;
  std::function<void(Random&, std::vector<double>&)> fill;
};

/// A maximum, k times a value below it, and another value for the rest.
inline void fill_two_values(Random& random, std::vector<double>& x, double maximum, double value,
                            double rest) {
  const auto count = static_cast<std::size_t>(integer(random, 0, static_cast<int>(x.size()) - 1));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i == 0 ? maximum : i <= count ? value : rest;
}

inline void fill_each(std::vector<double>& x, const std::function<double()>& element) {
  for (double& value : x) value = element();
}

inline const std::vector<BlockFamily>& block_families() {
  using X = std::vector<double>;
  static const std::vector<BlockFamily> families = {
      {"gaussian", false,
       [](Random& r, X& x) { fill_each(x, [&] { return std::normal_distribution<double>()(r); }); }},
      {"laplace", true,
       [](Random& r, X& x) {
         fill_each(x, [&] { return sign(r) * std::exponential_distribution<double>()(r); });
       }},
      {"student t(2)", true,
       [](Random& r, X& x) { fill_each(x, [&] { return std::student_t_distribution<double>(2)(r); }); }},
      {"uniform", true, [](Random& r, X& x) { fill_each(x, [&] { return uniform(r, -1, 1); }); }},
      {"log-uniform", true,
       [](Random& r, X& x) { fill_each(x, [&] { return sign(r) * std::exp2(uniform(r, -12, 0)); }); }},
      {"sparse", true,
       [](Random& r, X& x) {
         fill_each(x, [&] { return integer(r, 0, 4) == 0 ? std::normal_distribution<double>()(r) : 0.0; });
       }},
      {"maximum and equal values", true,
       [](Random& r, X& x) { fill_two_values(r, x, uniform(r, 4, 8), uniform(r, 0, 4), 0); }},
      {"maximum and equal sixteenths", true,
       [](Random& r, X& x) {
         fill_two_values(r, x, integer(r, 64, 127) / 16.0, integer(r, 0, 64) / 16.0, 0);
       }},
      {"maximum and two sixteenths", true,
       [](Random& r, X& x) {
         fill_two_values(r, x, integer(r, 64, 127) / 16.0, integer(r, 0, 64) / 16.0,
                         integer(r, 0, 64) / 16.0);
       }},
      {"maximum near 4 and eighths below 1", true,
       [](Random& r, X& x) {
         fill_each(x, [&] { return integer(r, 0, 8) / 8.0; });
         x[0] = 4 + integer(r, 0, 2) / 8.0;
       }},
      {"maximum 4 and values near 1/4 and 3/4", true,
       [](Random& r, X& x) {
         constexpr double kValues[] = {0.25, 0.75, -0.25, 0.2, 0.3};
         fill_each(x, [&] { return kValues[integer(r, 0, 4)]; });
         x[0] = 4;
       }},
      {"quarters", true, [](Random& r, X& x) { fill_each(x, [&] { return integer(r, -31, 31) / 4.0; }); }},
      {"representable", true,
       [](Random& r, X& x) { fill_each(x, [&] { return sign(r) * kE2m1Magnitudes[integer(r, 0, 7)]; }); }},
      {"subnormal", false,
       [](Random& r, X& x) {
         const int exponent = integer(r, -167, -142);
         fill_each(x, [&] { return std::ldexp(integer(r, -(1 << 20), 1 << 20), exponent); });
       }},
      {"subnormal integers", false,
       [](Random& r, X& x) { fill_each(x, [&] { return std::ldexp(integer(r, -99, 99), -149); }); }},
      {"near overflow", false,
       [](Random& r, X& x) {
         const double top = uniform(r, 0.2, 1) * 0x1.fffffep127;
         fill_each(x, [&] { return uniform(r, -top, top); });
       }},
      {"zeros of both signs", false, [](Random& r, X& x) { fill_each(x, [&] { return sign(r) * 0.0; }); }},
  };
  return families;
}

/// The next block of a family, of n elements.
inline std::vector<float> make_block(const BlockFamily& family, std::size_t n, Random& random) {
  std::vector<double> x(n);
  family.fill(random, x);
  const int exponent = family.scaled ? integer(random, -140, 117) : 0;
  std::vector<float> block(n);
  for (std::size_t i = 0; i < n; ++i) block[i] = static_cast<float>(std::ldexp(x[i], exponent));
  return block;
}

/// A block as text that a test can be made from.
inline std::string to_string(const std::vector<float>& block) {
  std::string text = "{";
  for (const float x : block) {
    char element[32];
    std::snprintf(element, sizeof element, "%s%a", text.size() > 1 ? ", " : "", static_cast<double>(x));
    text += element;
  }
  return text + "}";
}

}  // namespace mxfp4::test
