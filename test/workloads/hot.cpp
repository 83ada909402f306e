// A template's member function that burns CPU until it is ended: hot.cpp SECONDS.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace shop {

template <typename Price>
class Cart {
 public:
  explicit Cart(std::vector<Price> prices) : prices_(std::move(prices)) {}
  __attribute__((noinline)) uint64_t total(int turns) const {
    uint64_t sum = 0;
    for (int turn = 0; turn < turns; turn++) {
      for (const Price price : prices_) sum = sum * 31 + price;
    }
    return sum;
  }

 private:
  std::vector<Price> prices_;
};

}  // namespace shop

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 5;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const shop::Cart<unsigned> cart(std::vector<unsigned>(1000, 7));
  uint64_t sum = 0;
  while (std::chrono::steady_clock::now() < end) sum += cart.total(1000);
  fprintf(stderr, "%lu\n", static_cast<unsigned long>(sum));
}
