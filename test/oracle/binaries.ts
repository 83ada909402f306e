import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const native = join(root, 'agent/native')
const libraries = '/lib/x86_64-linux-gnu'

/** A file whose addresses are asked about, and the one with its names, which the references are given. */
export interface Binary {
  name: string
  path: string
  debugPath: string
}

/** Library templates, exceptions, threads, regular expressions: much that is inlined. */
const templates = `
#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <thread>
#include <unordered_map>
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
template <int N> struct Polygon : Shape { double side[N]{}; double area() const override { double sum = 0; for (double one : side) sum += one * one; return sum; } };
static std::map<std::string, std::vector<std::unique_ptr<Shape>>> shapes;
int main(int argc, char **argv) {
  std::unordered_map<std::string, int> count;
  std::ifstream file(argv[argc - 1]);
  std::regex word("[a-z]+(-[a-z]+)*");
  for (std::string line; std::getline(file, line);)
    for (std::sregex_iterator at(line.begin(), line.end(), word), end; at != end; ++at) count[at->str()]++;
  for (auto &[name, number] : count) {
    shapes[name].push_back(std::make_unique<Polygon<3>>());
    shapes[name].push_back(std::make_unique<Polygon<7>>());
  }
  std::vector<std::function<double()>> work;
  for (auto &[name, list] : shapes)
    for (auto &shape : list) work.push_back([&shape] { return shape->area(); });
  std::sort(work.begin(), work.end(), [](auto &a, auto &b) { return a() < b(); });
  std::thread thread([&] { try { if (work.size() > 100) throw std::runtime_error("many"); } catch (const std::exception &e) { std::cerr << e.what(); } });
  thread.join();
  std::stringstream out;
  for (auto &one : work) out << one() << ' ';
  std::cout << out.str();
}
`

function debugFileOf(path: string): string | null {
  const notes = execFileSync('readelf', ['-n', path], { encoding: 'utf8' })
  const id = /Build ID: ([0-9a-f]+)/.exec(notes)?.[1]
  const debug = id && `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`
  return debug && existsSync(debug) ? debug : null
}

/** Builds and finds what the addresses are taken from. `missing`: what is not there on this machine. */
export function findBinaries(
  folder: string,
  names?: readonly string[],
): { binaries: Binary[]; missing: string[] } {
  const binaries: Binary[] = []
  const missing: string[] = []
  const wants = (name: string) => !names || names.includes(name)
  const add = (name: string, make: () => { path: string; debugPath?: string | null }) => {
    if (!wants(name)) return
    try {
      const { path, debugPath } = make()
      if (!existsSync(path) || debugPath === null) missing.push(name)
      else binaries.push({ name, path, debugPath: debugPath ?? path })
    } catch {
      missing.push(name)
    }
  }
  const build = (output: string, program: string, ...args: string[]) => {
    execFileSync(program, args, { cwd: folder, stdio: 'ignore' })
    return { path: join(folder, output) }
  }
  writeFileSync(join(folder, 'templates.cc'), templates)

  // C, stripped, with a debug file of the distribution (libc6-dbg).
  for (const name of [
    'libc.so.6',
    'libm.so.6',
    'ld-linux-x86-64.so.2',
    'libresolv.so.2',
    'libnss_compat.so.2',
  ])
    add(name, () => ({ path: join(libraries, name), debugPath: debugFileOf(join(libraries, name)) }))
  // C++ and C of this project: a library, a program, a static one with elfutils in it.
  for (const name of ['strobe_agent.node', 'strobe-launch', 'strobe-dwarf'])
    add(name, () => ({ path: join(native, 'build', name) }))
  // One program, seven ways.
  const gcc = (name: string, ...flags: string[]) =>
    add(name, () => build(name, 'g++', '-pthread', ...flags, '-o', name, 'templates.cc'))
  gcc('gcc-O2', '-O2', '-g')
  gcc('gcc-O0', '-O0', '-g')
  gcc('gcc-O3-dwarf4-no-pie', '-O3', '-gdwarf-4', '-no-pie')
  gcc('gcc-lto', '-O2', '-g', '-flto')
  gcc('gcc-gold-icf', '-O2', '-g', '-fuse-ld=gold', '-Wl,--icf=safe', '-ffunction-sections')
  gcc('gcc-no-debug', '-O2')
  const clang = (name: string, ...flags: string[]) =>
    add(name, () => build(name, 'clang++-19', '-pthread', ...flags, '-o', name, 'templates.cc'))
  clang('clang-O2', '-O2', '-gdwarf-5')
  clang('clang-O1-dwarf4', '-O1', '-gdwarf-4')
  const rustSource = join(root, 'test/workloads/hot.rs')
  add('rust-O', () => build('rust-O', 'rustc', '--edition', '2021', '-O', '-g', '-o', 'rust-O', rustSource))
  add('rust-debug', () =>
    build(
      'rust-debug',
      'rustc',
      '--edition',
      '2021',
      '-g',
      '-C',
      'symbol-mangling-version=v0',
      '-o',
      'rust-debug',
      rustSource,
    ),
  )
  const go = (name: string, ...flags: string[]) =>
    add(name, () =>
      build(
        name,
        'env',
        'GO111MODULE=off',
        `GOCACHE=${join(folder, 'go-cache')}`,
        'go',
        'build',
        ...flags,
        '-o',
        name,
        join(root, 'test/workloads/hot.go'),
      ),
    )
  go('go')
  go('go-pie', '-buildmode=pie')
  // No debug information: symbol table, dynamic symbols only.
  add('node', () => ({ path: process.execPath }))
  add('bash', () => ({ path: '/bin/bash' }))
  return { binaries, missing }
}
