#pragma once

/// @file
/// The version of the library, for the preprocessor and for programs; it follows https://semver.org.

/// Changes when programs may have to change.
#define ASIOQ_VERSION_MAJOR 0
/// Changes when something is added.
#define ASIOQ_VERSION_MINOR 1
/// Changes when something is mended.
#define ASIOQ_VERSION_PATCH 0

#include <compare>

namespace asioq {

/// The version as numbers that can be compared member by member.
struct version_number {
  int major_part;  ///< ASIOQ_VERSION_MAJOR
  int minor_part;  ///< ASIOQ_VERSION_MINOR
  int patch_part;  ///< ASIOQ_VERSION_PATCH

  auto operator<=>(const version_number&) const = default;
};

/// The version of the headers this translation unit was compiled with.
inline constexpr version_number version{ASIOQ_VERSION_MAJOR, ASIOQ_VERSION_MINOR, ASIOQ_VERSION_PATCH};

}  // namespace asioq
