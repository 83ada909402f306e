/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of stripped files from where debuggers find them. Each case strips the same program, puts its debug
 * file somewhere, and asks for the name of a function that only the debug file has.
 */
#include <fcntl.h>
#include <lzma.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "debug_files.h"
#include "file_namer.h"
#include "temporary.h"

using namespace strobe;
namespace fs = std::filesystem;

namespace {

const char* const kSource = R"(__attribute__((noinline)) static int hidden(int x) {
  asm volatile(".globl in_hidden\nin_hidden: nop");
  return x * 3;
}
int main(int argc, char**) { return hidden(argc); }
)";

/* FOLDER/bin/prog, stripped, and FOLDER/prog.debug; the link names prog.debug. */
struct Stripped {
  TemporaryFolder folder;
  std::string program = folder / "bin/prog";
  std::string debug = folder / "prog.debug";
  std::string build_id;
  uint64_t address = 0;

  explicit Stripped(const std::string& flags = "-O1 -g") {
    std::ofstream(folder / "hidden.cc") << kSource;
    fs::create_directories(folder / "bin");
    run_or_skip("cd " + folder.path() + " && g++ " + flags + " -o whole hidden.cc");
    address = addresses_of(folder / "whole").at("in_hidden");
    run_or_skip("cd " + folder.path() +
                " && objcopy --only-keep-debug whole prog.debug && objcopy --strip-all "
                "--add-gnu-debuglink=prog.debug whole bin/prog");
    build_id = open(program)->image->build_id();
  }

  static std::shared_ptr<const OpenFile> open(const std::string& path, const std::string& root = "/") {
    auto file = std::make_shared<OpenFile>();
    std::string reason;
    file->fd = OwnedFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    file->image = ElfImage::open(file->fd.get(), &reason);
    file->root = root;
    file->path = root == "/" ? path : path.substr(root.size());
    return file->image ? file : nullptr;
  }

  std::string move_debug_to(const std::string& path) {
    fs::create_directories(fs::path(path).parent_path());
    fs::rename(debug, path);
    return path;
  }
};

struct Namer {
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  FileNamer namer;
  explicit Namer(const std::string& folder = "") : namer({32u << 20, 256u << 20, folder}, counters) {}

  std::string name(const std::string& path, uint64_t address, const std::string& root = "/") {
    const auto named = namer.name(
        1, {address}, [=] { return Stripped::open(path, root); }, clock_ns(CLOCK_MONOTONIC) + 20'000'000'000);
    if (named[0].lines.empty()) return "";
    const SourceLine& line = named[0].lines.front();
    const std::string name = line.linkage_name.empty() ? line.function : line.linkage_name;
    return line.file.empty()
               ? name
               : name + " " + fs::path(line.file).filename().string() + ":" + std::to_string(line.line);
  }
};

std::string name_of(const Stripped& stripped, const std::string& root = "/") {
  Namer namer;
  return namer.name(stripped.program, stripped.address, root);
}

void flip_byte(const std::string& path, size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ 1));
}

std::string pack(const std::string& bytes) {
  std::string packed(lzma_stream_buffer_bound(bytes.size()), '\0');
  size_t size = 0;
  if (lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const uint8_t*>(bytes.data()),
                              bytes.size(), reinterpret_cast<uint8_t*>(packed.data()), &size,
                              packed.size()) != LZMA_OK)
    check::fail(__FILE__, __LINE__, "xz");
  packed.resize(size);
  return packed;
}

}  // namespace

TEST("a stripped file without its debug file has no name, and its build id is wanted") {
  const Stripped stripped;
  fs::remove(stripped.debug);
  Namer namer;
  CHECK_EQUAL(namer.name(stripped.program, stripped.address), "");
  CHECK_EQUAL(namer.namer.take_wanted().at(0), stripped.build_id);
  CHECK(namer.namer.take_wanted().empty());
}

TEST("the debug link: beside the file, and in .debug there") {
  Stripped beside, below;
  beside.move_debug_to(beside.folder / "bin/prog.debug");
  CHECK_EQUAL(name_of(beside), "_ZL6hiddeni hidden.cc:2");
  below.move_debug_to(below.folder / "bin/.debug/prog.debug");
  CHECK_EQUAL(name_of(below), "_ZL6hiddeni hidden.cc:2");
}

TEST("the debug link without build ids goes by its checksum") {
  Stripped stripped("-O1 -g -Wl,--build-id=none");
  CHECK_EQUAL(stripped.build_id, "");
  const std::string debug = stripped.move_debug_to(stripped.folder / "bin/prog.debug");
  CHECK_EQUAL(name_of(stripped), "_ZL6hiddeni hidden.cc:2");
  flip_byte(debug, fs::file_size(debug) - 1);
  CHECK_EQUAL(name_of(stripped), "");
}

TEST("a debug file of another build is refused") {
  Stripped stripped, other("-O2 -g");
  CHECK(stripped.build_id != other.build_id);
  other.move_debug_to(stripped.folder / "bin/prog.debug");
  CHECK_EQUAL(name_of(stripped), "");
}

TEST("build-id folders in the root of the process; links lead inside it; pipes are left alone") {
  Stripped stripped;
  const std::string root = stripped.folder.path();
  const std::string in_root = "/usr/lib/debug/.build-id/" + stripped.build_id.substr(0, 2) + "/" +
                              stripped.build_id.substr(2) + ".debug";
  /* An absolute link: /store exists in the process's root only. */
  stripped.move_debug_to(root + "/store/prog.debug");
  fs::create_directories(fs::path(root + in_root).parent_path());
  fs::create_symlink("/store/prog.debug", root + in_root);
  CHECK_EQUAL(name_of(stripped, root), "_ZL6hiddeni hidden.cc:2");
  fs::remove(root + in_root);
  CHECK_EQUAL(mkfifo((root + in_root).c_str(), 0644), 0);
  CHECK_EQUAL(name_of(stripped, root), "");
}

TEST("a debug file that comes later names what was asked about before") {
  Stripped stripped;
  const std::string folder = stripped.folder / "cache";
  Namer namer(folder);
  const std::string aside = stripped.move_debug_to(stripped.folder / "aside.debug");
  CHECK_EQUAL(namer.name(stripped.program, stripped.address), "");
  fs::create_directories(folder + "/" + stripped.build_id);
  fs::rename(aside, folder + "/" + stripped.build_id + "/debuginfo");
  CHECK_EQUAL(namer.name(stripped.program, stripped.address), "");
  CHECK(namer.namer.debug_file_arrived("0000").empty());
  CHECK_EQUAL(namer.namer.debug_file_arrived(stripped.build_id).size(), size_t{1});
  CHECK_EQUAL(namer.name(stripped.program, stripped.address), "_ZL6hiddeni hidden.cc:2");
}

TEST("mini debug info has names without lines; a damaged one has none") {
  const Stripped stripped;
  run_or_skip("cd " + stripped.folder.path() + " && objcopy -S --keep-symbol=_ZL6hiddeni whole mini");
  const std::string packed = pack(bytes_of(stripped.folder / "mini"));
  auto attach = [&](const std::string& content) {
    std::ofstream(stripped.folder / "packed", std::ios::binary) << content;
    run_or_skip("cd " + stripped.folder.path() +
                " && rm -f prog.debug && objcopy --add-section .gnu_debugdata=packed bin/prog with-mini");
    return stripped.folder / "with-mini";
  };
  const std::string path = attach(packed);
  CHECK_EQUAL(Namer().name(path, stripped.address), "_ZL6hiddeni");
  CHECK_EQUAL(Namer().name(attach(packed.substr(0, packed.size() / 2)), stripped.address), "");
  /* A bomb: more than is unpacked. */
  CHECK_EQUAL(Namer().name(attach(pack(std::string(80u << 20, 'x'))), stripped.address), "");
}

TEST("fuzz: damaged links and mini debug info never crash") {
  const Stripped stripped;
  run_or_skip("cd " + stripped.folder.path() + " && objcopy -S --keep-symbol=_ZL6hiddeni whole mini");
  std::ofstream(stripped.folder / "packed", std::ios::binary) << pack(bytes_of(stripped.folder / "mini"));
  run_or_skip("cd " + stripped.folder.path() +
              " && objcopy --add-section .gnu_debugdata=packed bin/prog both");
  const std::string good = bytes_of(stripped.folder / "both");
  std::string reason;
  auto image = ElfImage::from_memory(good.data(), good.size(), &reason);
  std::vector<const ElfSection*> targets{image->find_section(".gnu_debugdata"),
                                         image->find_section(".gnu_debuglink")};
  std::mt19937 random(20261125);
  size_t unpacked = 0;
  for (int round = 0; round < 2000; round++) {
    std::string bytes = good;
    const ElfSection* target = targets[round % 2];
    for (size_t i = random() % 3; i > 0; i--)
      bytes[target->offset + random() % target->size] = static_cast<char>(random());
    OpenFile file;
    file.image = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
    if (!file.image) continue;
    file.root = stripped.folder.path();
    file.path = "/bin/prog";
    if (read_mini_debug_info(*file.image)) unpacked++;
    DebugFiles("").find(file);
  }
  CHECK(unpacked > 500);
}
