/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_DEMANGLE_H
#define STROBE_DEMANGLE_H

#include <string>
#include <string_view>

namespace strobe {

/*
 * The name a reader wants for a symbol of C++ (Itanium), Rust (v0 and legacy) or C.
 *
 * C++: template arguments stay, parameters and return type go, as in google/pprof's
 * "templates" mode: std::vector<int>::push_back. Rust: generic arguments stay, crate and symbol
 * hashes go. Pieces that a compiler cut off a function (.cold, .isra.0, .part.0, .constprop.0,
 * .llvm.1234, .lto_priv.0) carry the function's name, so that two builds compare.
 * Other names come back as they are. The system name keeps all that is lost here.
 *
 * Bounds: names above 16 KiB are returned unread; a result is cut after 4 KiB, with "..." at its
 * end (a few substitutions can spell a name of gigabytes). Thread-safe.
 */
std::string demangle(std::string_view name);

}  // namespace strobe

#endif
