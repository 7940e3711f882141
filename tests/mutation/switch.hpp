// What tests/mutation/run writes into the headers: each operator and number asks at run time whether it is the one that is
// changed, so that one program stands for all changes. In constant expressions nothing is changed.
#ifndef WSCODEC_TESTS_MUTATION_SWITCH_HPP
#define WSCODEC_TESTS_MUTATION_SWITCH_HPP

#include <unistd.h>

#include <cstdlib>
#include <type_traits>

namespace mutation {

/// The number of the change that is asked for, or 0.
inline const int asked = [] {
  const char* text = std::getenv("MUTANT");
  return text == nullptr ? 0 : std::atoi(text);
}();
inline bool told = false;

/// Says, once, what the caller of the program looks for.
inline void tell(const char* what, unsigned long size) noexcept {
  if (!told) (void)!::write(STDERR_FILENO, what, size);
  told = true;
}

template <int id>
[[gnu::always_inline]] constexpr bool on() noexcept {
  if constexpr (id != 0) {
    if (!__builtin_is_constant_evaluated() && __builtin_expect(asked == id, 0)) {
      tell("reached mutant\n", 15);
      return true;
    }
  }
  return false;
}

template <int up, int down, class T>
[[gnu::always_inline]] constexpr T number(T value) noexcept {
  if (on<up>()) return static_cast<T>(value + 1);
  if (on<down>()) return static_cast<T>(value - 1);
  return value;
}

template <int id>
[[gnu::always_inline]] constexpr bool truth(bool value) noexcept {
  return value != on<id>();
}

template <int id>
struct negation {};
template <int id, class T>
[[gnu::always_inline]] constexpr bool operator->*(negation<id>, const T& value) noexcept {
  return static_cast<bool>(value) != on<id>();
}

template <int id>
struct increment {};
template <int id, class T>
[[gnu::always_inline]] constexpr T& operator->*(increment<id>, T& value) noexcept {
  if (on<id>())
    --value;
  else
    ++value;
  return value;
}

/// What may be copied. No vectors: in functions of their own they would need a target's registers. No streams.
template <class T>
concept plain = std::is_scalar_v<T> || (std::is_class_v<T> && requires(const T& a) { a == a; });

template <class T, class Switch>
struct left {
  T value;
};

// `a OP switch OP b` groups like `a OP b`. A change of types that do not have the other operator cannot be switched.
#define MUTATION_BINARY(name, op, other, boundary)                                                                          \
  template <int id, int id2>                                                                                                \
  struct name {};                                                                                                           \
  template <plain A, int id, int id2>                                                                                       \
  [[gnu::always_inline]] constexpr left<A, name<id, id2>> operator op(A a, name<id, id2>) noexcept {                        \
    return {a};                                                                                                             \
  }                                                                                                                         \
  template <class A, int id, int id2, class B>                                                                              \
  [[gnu::always_inline]] constexpr auto operator op(left<A, name<id, id2>> a, B b) noexcept(noexcept(a.value op b)) {       \
    using result = decltype(a.value op b);                                                                                  \
    if constexpr (requires { static_cast<result>(a.value other b); }) {                                                     \
      if (on<id>()) return static_cast<result>(a.value other b);                                                            \
    } else {                                                                                                                \
      if (on<id>()) tell("cannot switch\n", 14);                                                                            \
    }                                                                                                                       \
    if constexpr (id2 != 0)                                                                                                 \
      if (on<id2>()) return static_cast<result>(a.value boundary b);                                                        \
    return a.value op b;                                                                                                    \
  }

MUTATION_BINARY(less, <, >=, <=)
MUTATION_BINARY(less_equal, <=, >, <)
MUTATION_BINARY(greater, >, <=, >=)
MUTATION_BINARY(greater_equal, >=, <, >)
MUTATION_BINARY(equal, ==, !=, ==)
MUTATION_BINARY(not_equal, !=, ==, !=)
MUTATION_BINARY(plus, +, -, +)
MUTATION_BINARY(minus, -, +, -)
MUTATION_BINARY(times, *, /, *)
MUTATION_BINARY(divided, /, *, /)
MUTATION_BINARY(modulo, %, /, %)
MUTATION_BINARY(bit_and, &, |, &)
MUTATION_BINARY(bit_or, |, &, |)
MUTATION_BINARY(bit_xor, ^, |, ^)
MUTATION_BINARY(shift_left, <<, >>, <<)
MUTATION_BINARY(shift_right, >>, <<, >>)

template <class T, class Switch>
struct right {
  T value;
};

// `a += switch += b` groups to the right.
#define MUTATION_ASSIGNMENT(name, op, other)                                                                 \
  template <int id>                                                                                          \
  struct name {};                                                                                            \
  template <int id, plain B>                                                                                 \
  [[gnu::always_inline]] constexpr right<B, name<id>> operator op(name<id>, B b) noexcept {                  \
    return {b};                                                                                              \
  }                                                                                                          \
  template <class A, int id, class B>                                                                        \
  [[gnu::always_inline]] constexpr A& operator op(A& a, right<B, name<id>> b) noexcept {                     \
    if (on<id>())                                                                                            \
      a other b.value;                                                                                       \
    else                                                                                                     \
      a op b.value;                                                                                          \
    return a;                                                                                                \
  }

MUTATION_ASSIGNMENT(plus_assign, +=, -=)
MUTATION_ASSIGNMENT(minus_assign, -=, +=)
MUTATION_ASSIGNMENT(or_assign, |=, &=)

}  // namespace mutation

#endif
