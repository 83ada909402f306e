/** Wire and API only grow: what the last release accepted and answered is still there. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readText, root } from './files.ts'

type Json = { [key: string]: Json } | Json[] | string | number | boolean | null

const git = (...args: string[]) =>
  spawnSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 })

function checkProto(tag: string): string[] {
  const env = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}` }
  const args = ['breaking', 'proto', '--against', `.git#tag=${tag},subdir=proto`]
  const result = spawnSync('buf', args, { cwd: root, encoding: 'utf8', env })
  return result.status === 0 ? [] : `${result.stdout}${result.stderr}`.split('\n').filter(Boolean)
}

/** Keys of the old document that the new one lacks; a new parameter that is required counts too. */
export function lostKeys(before: Json, now: Json, path = ''): string[] {
  if (Array.isArray(before)) {
    // Lists of parameters and of required names are sets: by name where they have one.
    const nameOf = (item: Json) =>
      item !== null && typeof item === 'object' && !Array.isArray(item)
        ? String(item.name ?? '')
        : String(item)
    const list = Array.isArray(now) ? now : []
    const isRequiredList = path.endsWith('.required')
    return before.flatMap(item => {
      const name = nameOf(item)
      const same = list.find(each => nameOf(each) === name)
      if (same === undefined) return isRequiredList && path.includes('.parameters') ? [] : [`${path}.${name}`]
      return typeof item === 'object' ? lostKeys(item, same, `${path}.${name}`) : []
    })
  }
  if (before === null || typeof before !== 'object') return []
  const object = now !== null && typeof now === 'object' && !Array.isArray(now) ? now : {}
  return Object.entries(before).flatMap(([key, value]) =>
    object[key] === undefined ? [`${path}.${key}`] : lostKeys(value, object[key] ?? null, `${path}.${key}`),
  )
}

export function checkAdditive(): string[] {
  const tag = git('describe', '--tags', '--abbrev=0', '--match', 'v*').stdout.trim()
  if (tag === '') {
    console.log('     nothing released yet: no tag v* to compare with')
    return []
  }
  const before = execFileSync('git', ['show', `${tag}:docs/openapi.json`], { cwd: root, encoding: 'utf8' })
  const paths = (text: string) => (JSON.parse(text) as { paths: Json }).paths
  const lost = lostKeys(paths(before), paths(readText('docs/openapi.json')))
  return [
    ...checkProto(tag),
    ...lost.map(path => `docs/openapi.json no longer has ${path.slice(1)}, which ${tag} had`),
  ]
}
