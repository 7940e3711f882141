// wscodec: layer 7, inside prepared_message: the few atomic operations it needs. <atomic> costs 0.2 s of compile time.
#pragma once

#include <cstdint>

#include "../config.hpp"

#if defined(_MSC_VER) && !defined(__clang__)
#include <atomic>
#endif

WSCODEC_DETAIL_BEGIN

#if defined(_MSC_VER) && !defined(__clang__)
WSCODEC_INLINE void add_reference(std::uint32_t& count) noexcept {
  std::atomic_ref<std::uint32_t>{count}.fetch_add(1, std::memory_order_relaxed);
}
/// True for the last one.
WSCODEC_INLINE bool drop_reference(std::uint32_t& count) noexcept {
  return std::atomic_ref<std::uint32_t>{count}.fetch_sub(1, std::memory_order_acq_rel) == 1;
}
template <class T>
WSCODEC_INLINE T* load_shared(T* const& from) noexcept {
  return std::atomic_ref<T*>{const_cast<T*&>(from)}.load(std::memory_order_acquire);
}
/// Puts `mine` where there was null; gives what is there then.
template <class T>
WSCODEC_INLINE T* publish(T*& to, T* mine) noexcept {
  T* there = nullptr;
  return std::atomic_ref<T*>{to}.compare_exchange_strong(there, mine, std::memory_order_acq_rel) ? mine : there;
}
#else
WSCODEC_INLINE void add_reference(std::uint32_t& count) noexcept { __atomic_fetch_add(&count, 1U, __ATOMIC_RELAXED); }
/// True for the last one.
WSCODEC_INLINE bool drop_reference(std::uint32_t& count) noexcept {
  return __atomic_fetch_sub(&count, 1U, __ATOMIC_ACQ_REL) == 1;
}
template <class T>
WSCODEC_INLINE T* load_shared(T* const& from) noexcept {
  return __atomic_load_n(&from, __ATOMIC_ACQUIRE);
}
/// Puts `mine` where there was null; gives what is there then.
template <class T>
WSCODEC_INLINE T* publish(T*& to, T* mine) noexcept {
  T* there = nullptr;
  return __atomic_compare_exchange_n(&to, &there, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? mine : there;
}
#endif

WSCODEC_DETAIL_END
