import { expect, test } from 'vitest'
import { packageOf } from './package-name.ts'

test.each([
  // Go: as go tool pprof's own rule has it.
  ['golang.org/x/sync/errgroup.(*Group).Go.func1', '/src/errgroup/errgroup.go', 'golang.org/x/sync/errgroup'],
  ['main.calculateFib', '/src/main.go', 'main'],
  ['runtime.mallocgc', '', 'runtime'],
  ['github.com/a/b/v2.Map[string,github.com/c/d.T]', 'm.go', 'github.com/a/b/v2'],
  ['math/big.addVV', 'arith.s', 'math/big'],
  // C++ and Rust: the outermost namespace or crate.
  ['std::vector<int, std::allocator<int>>::push_back', 'vector', 'std'],
  ['rocksdb::DBImpl::Get', '', 'rocksdb'],
  ['alloc::vec::Vec<T,A>::push', '', 'alloc'],
  ['(anonymous namespace)::f', 'a.cc', ''],
  ['malloc', '', ''],
  // JVM languages: what comes before the class.
  ['java.util.HashMap.getNode', 'HashMap.java', 'java.util'],
  ['kotlin.collections.CollectionsKt.map', 'Collections.kt', 'kotlin.collections'],
  ['Main.main', 'Main.java', ''],
  // Installed packages, by their folder, whatever the function is called.
  ['parse', '/app/node_modules/a/node_modules/@scope/name/lib/index.js', '@scope/name'],
  ['anonymous', 'node_modules/express/index.js', 'express'],
  ['dot', '/usr/lib/python3/dist-packages/numpy/core.py', 'numpy'],
  ['run', '/venv/lib/python3.12/site-packages/six.py', 'six'],
  ['f', '/my_node_modules/x/y.js', ''],
])('%s in %s is of "%s"', (name, file, wanted) => {
  expect(packageOf(name, file)).toBe(wanted)
})
